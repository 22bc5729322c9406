{{ if .x }}
{"apiVersion":"v1","kind":"Secret","stringData":{"a":"hunter2"}}
{{ end }}
