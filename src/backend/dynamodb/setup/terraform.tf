resource "aws_dynamodb_table" "keyvaluestore" {
  name         = "keyvaluestore"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "hk"
  range_key    = "rk"

  attribute {
    name = "hk"
    type = "B"
  }
  attribute {
    name = "rk"
    type = "B"
  }
  attribute {
    name = "rk2"
    type = "B"
  }

  local_secondary_index {
    name            = "rk2"
    range_key       = "rk2"
    projection_type = "ALL"
  }
}
