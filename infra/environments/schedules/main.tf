# Schedules in a state of their own: who owns them needs to know the deployment's function "declare" and nothing else.

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
}

variable "region" {
  type        = string
  description = "The region of AWS"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "must be a region, such as eu-west-1"
  }
}

variable "function_name" {
  type        = string
  description = "The output DeclareFunction of the deployment"
}

variable "beat" {
  type        = any
  description = "A schedule, in the fields of POST /api/v1/schedules"
  default = {
    name   = "beat"
    type   = "RATE"
    expr   = "rate:1m"
    target = { type = "log" }
  }
}

module "beat" {
  source = "../../modules/schedule"

  function_name = var.function_name
  schedule      = var.beat
  owner         = "team-a"
}

output "beat" {
  value       = module.beat.id
  description = "The schedule's id"
}
