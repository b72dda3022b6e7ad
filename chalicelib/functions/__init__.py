"""The Lambda functions beside the API: one module each, so that Lambda imports only what that function needs."""
