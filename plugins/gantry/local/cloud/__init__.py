"""The embedded cloud: moto's EC2 and S3, made as strict as AWS, with containers as instances."""
