# Five machines in three regions. The token comes from the environment, so it is in no file and no history:
#   export DIGITALOCEAN_TOKEN=…              or: op run --env-file=.env -- tofu apply
#   tofu init && tofu apply
variable "image_url" {
  description = "Where DigitalOcean fetches the image."
  type        = string
}

variable "ssh_keys" {
  description = "Fingerprints of your ssh keys at DigitalOcean."
  type        = list(string)
}

module "e3" {
  source    = "../"
  fleet     = "${path.root}/demo"
  image_url = var.image_url
  ssh_keys  = var.ssh_keys
  regions   = { ams3 = 3, nyc3 = 1, sgp1 = 1 }
}

output "machines" {
  value = module.e3.machines
}

output "accept" {
  value = module.e3.accept
}
