output "machines" {
  description = "Each machine's region, address and droplet."
  value = {
    for name, droplet in digitalocean_droplet.machine : name => {
      region  = droplet.region
      address = droplet.ipv4_address
      droplet = droplet.id
    }
  }
}

output "colmena" {
  description = "What a colmena hive takes: `tofu output -json colmena > hosts.json`."
  value = {
    for name, droplet in digitalocean_droplet.machine : name => { targetHost = droplet.ipv4_address, targetUser = "root" }
  }
}

output "accept" {
  description = "What to type when the machines have booted, a minute later."
  value       = "e3 --fleet ${var.fleet} fleet pending && e3 --fleet ${var.fleet} fleet accept ${join(" ", sort(keys(local.machines)))}"
}
