"""The only importers of boto3, pynamodb and sockets: implementations of the ports."""
