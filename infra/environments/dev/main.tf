# The deployment of stage dev. First: scripts/package --stage dev --format terraform

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.1, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { service = "chronowatch", stage = "dev" }
  }
}

variable "region" {
  type        = string
  description = "The region of AWS"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "must be a region, such as eu-west-1"
  }
}

variable "page_token_secret" {
  type        = string
  sensitive   = true
  description = "Signs page tokens: kept from release to release"
}

module "chronowatch" {
  source = "../../../build/terraform/dev"

  page_token_secret   = var.page_token_secret
  deletion_protection = false # a stage to throw away
}

output "endpoint" {
  value       = module.chronowatch.EndpointURL
  description = "Where the API answers"
}

output "declare_function" {
  value       = module.chronowatch.DeclareFunction
  description = "What the schedules of other states are declared by"
}
