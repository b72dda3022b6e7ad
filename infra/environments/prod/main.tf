# The deployment of stage prod. First: scripts/package --stage prod --format terraform

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
    tags = { service = "chronowatch", stage = "prod" }
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

variable "alarm_topic_arn" {
  type        = string
  description = "Who is on duty hears of alarms by this SNS topic"
}

module "chronowatch" {
  source = "../../../build/terraform/prod"

  page_token_secret           = var.page_token_secret
  own_key                     = true
  access_logs                 = true
  archive_days                = 30
  alarm_topic_arn             = var.alarm_topic_arn
  deliver_maximum_concurrency = 200
}

output "endpoint" {
  value       = module.chronowatch.EndpointURL
  description = "Where the API answers"
}
