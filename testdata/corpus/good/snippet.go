package manifests

// secret is applied by the tests.
const secret = `apiVersion: v1
kind: Secret
metadata:
  name: test
stringData:
  password: hunter2
`

func begin(s string) bool { return s == "-----BEGIN RSA PRIVATE KEY-----" }
