variable "regions" {
  description = "How many machines in which region, such as { ams3 = 3, nyc3 = 1 }."
  type        = map(number)
  validation {
    condition     = alltrue([for region, count in var.regions : can(regex("^[a-z]{3}[0-9]$", region)) && count >= 0 && count <= 100 && floor(count) == count])
    error_message = "A region is written like ams3, and has 0 to 100 machines."
  }
}

variable "fleet" {
  description = "The fleet's folder, with fleet.toml. `e3` writes each machine's invite there."
  type        = string
  validation {
    condition     = fileexists("${var.fleet}/fleet.toml")
    error_message = "There is no fleet.toml in this folder; make a fleet with: e3 fleet new NAME."
  }
}

variable "image_url" {
  description = "Where DigitalOcean fetches the image: what `e3 image upload` or your own web server offers. Or give `images`."
  type        = string
  default     = null
  validation {
    condition     = (var.image_url == null) != (var.images == null)
    error_message = "Give either image_url or images."
  }
}

variable "images" {
  description = "The id of an image that is there already, for each region."
  type        = map(string)
  default     = null
  validation {
    condition     = var.images == null || length(setsubtract(keys(var.regions), keys(coalesce(var.images, {})))) == 0
    error_message = "Each region needs an image: DigitalOcean keeps a custom image in one region."
  }
}

variable "ssh_keys" {
  description = "Ids or fingerprints of ssh keys at DigitalOcean, which asks for at least one. Its owner can become root on the machines."
  type        = list(string)
  validation {
    condition     = length(var.ssh_keys) > 0
    error_message = "DigitalOcean makes no droplet of a custom image without an ssh key."
  }
}

variable "prefix" {
  description = "What the machines' names begin with, such as \"lab-\": lab-ams3-1."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{0,15})?$", var.prefix))
    error_message = "Small letters, digits and hyphens, 16 at most, a letter first."
  }
}

variable "size" {
  description = "The droplets' size."
  type        = string
  default     = "s-1vcpu-1gb"
}

variable "invite_expires" {
  description = "How long a machine has to boot and enrol."
  type        = string
  default     = "1h"
}

variable "ssh_from" {
  description = "Networks from which ssh is let in; none by default. The machines' banner and `e3 fleet status` need no ssh."
  type        = list(string)
  default     = []
}

variable "peers" {
  description = "Networks of parties elsewhere that reach these machines without a mesh. In a mesh nobody needs to be let in."
  type        = list(string)
  default     = []
}

variable "anchor_ports" {
  description = "UDP ports that are open to everybody, for machines that are anchors of the fleet's mesh, such as [\"4242\"]."
  type        = list(string)
  default     = []
}

variable "e3" {
  description = "The e3 command."
  type        = string
  default     = "e3"
}
