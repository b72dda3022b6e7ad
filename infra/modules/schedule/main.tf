# A schedule as infrastructure: the function "declare" of a deployment makes, changes and deletes it (docs/deploy.md).

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.1, < 7.0"
    }
  }
}

variable "function_name" {
  type        = string
  description = "The deployment's function that declares, such as chronowatch-prod-declare"

  validation {
    condition     = can(regex("declare$", var.function_name))
    error_message = "must be the name or ARN of the function declare"
  }
}

variable "qualifier" {
  type        = string
  default     = "$LATEST"
  description = "live, where the deployment was packaged with --snapstart"
}

variable "schedule" {
  type        = any
  description = "The schedule, in the fields of POST /api/v1/schedules; its name is required"

  validation {
    condition     = can(length(var.schedule.name)) && try(length(var.schedule.name) > 0, false)
    error_message = "schedule.name: is required: a declared schedule is known by its owner and name"
  }

  validation {
    condition     = !can(var.schedule.owner) && !can(var.schedule.id)
    error_message = "schedule: takes neither owner nor id: owner is a variable of its own"
  }
}

variable "owner" {
  type        = string
  default     = "infrastructure"
  description = "Whose schedule it is"

  validation {
    condition     = length(var.owner) > 0
    error_message = "must not be empty"
  }
}

variable "tenant" {
  type        = string
  default     = "default"
  description = "The tenant"
}

variable "adopt" {
  type        = bool
  default     = false
  description = "Take over a schedule of this owner and name that is there already: this is the import"
}

resource "aws_lambda_invocation" "schedule" {
  function_name   = var.function_name
  qualifier       = var.qualifier
  lifecycle_scope = "CRUD"

  input = jsonencode({
    schedule = { for field, value in var.schedule : field => value if value != null }
    owner    = var.owner
    tenant   = var.tenant
    adopt    = var.adopt
  })
}

output "id" {
  value       = jsondecode(aws_lambda_invocation.schedule.result).id
  description = "The schedule's id"
}

output "path" {
  value       = jsondecode(aws_lambda_invocation.schedule.result).path
  description = "Its path in the API"
}
