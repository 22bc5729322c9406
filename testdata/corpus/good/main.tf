variable "db_password" { type = string }
resource "kubernetes_secret" "db" {
  data = { password = var.db_password }
}
