# Machines of a fleet on DigitalOcean: each invited by itself, with a token that is good once and for an hour, and taken
# out of the fleet and its meshes again when it is destroyed.

locals {
  # ams3-1, ams3-2, nyc3-1: what a machine is called in the fleet, at DigitalOcean and on its own console. A smaller count
  # takes the last ones away, and none of the others changes.
  machines = merge([
    for region, count in var.regions : { for n in range(1, count + 1) : "${var.prefix}${region}-${n}" => region }
  ]...)
  used  = toset(values(local.machines))
  joins = abspath("${path.root}/.e3-joins")
  fleet = regex("(?m)^name\\s*=\\s*\"([^\"]+)\"", file("${var.fleet}/fleet.toml"))[0]
  tag   = "e3-${var.prefix}${local.fleet}"
}

# DigitalOcean keeps a custom image in one region.
resource "digitalocean_custom_image" "e3" {
  for_each = var.images == null ? local.used : toset([])

  name        = "e3-${each.key}"
  url         = var.image_url
  regions     = [each.key]
  description = "An E3 appliance"
  timeouts {
    create = "60m"
  }
}

# The machine's place in the fleet. The token is in its join file, which is mode 600, and void after the machine's first
# start or the hour; nothing else of the fleet's keys leaves this computer.
resource "terraform_data" "invite" {
  for_each = local.machines
  # The image's import may take the hour for which an invite is good; and no machine boots before its firewall is there.
  depends_on = [digitalocean_custom_image.e3, digitalocean_firewall.fleet]

  # What is done in the end is kept in here, since a provisioner can see nothing else then.
  input = {
    name  = each.key
    fleet = abspath(var.fleet)
    e3    = var.e3
    join  = "${local.joins}/${each.key}.toml"
  }

  provisioner "local-exec" {
    command = "\"$E3\" --quiet fleet invite \"$NAME\" --for droplet --expires \"$EXPIRES\" --output \"$JOIN\""
    environment = {
      E3       = self.input.e3
      E3_FLEET = self.input.fleet
      NAME     = self.input.name
      JOIN     = self.input.join
      EXPIRES  = var.invite_expires
    }
  }

  provisioner "local-exec" {
    when    = destroy
    command = "\"$E3\" --quiet fleet revoke --if-known \"$NAME\" && rm -f -- \"$JOIN\""
    environment = {
      E3       = self.input.e3
      E3_FLEET = self.input.fleet
      NAME     = self.input.name
      JOIN     = self.input.join
    }
  }
}

resource "digitalocean_droplet" "machine" {
  for_each = local.machines

  name       = each.key
  region     = each.value
  size       = var.size
  image      = var.images == null ? digitalocean_custom_image.e3[each.value].image_id : var.images[each.value]
  ssh_keys   = var.ssh_keys
  # Read in place: what a data source reads would stand in the state, and of user data the provider keeps a hash alone. A file
  # that is gone is missed by a new machine only. A saved plan has more than the hash, if the file can be read by then: the time
  # is known to no plan, and so the file is read by the apply only.
  user_data  = timestamp() != "" && fileexists(terraform_data.invite[each.key].output.join) ? sensitive(file(terraform_data.invite[each.key].output.join)) : null
  tags       = [digitalocean_tag.fleet.id]
  monitoring = false

  lifecycle {
    # A machine that is there has used its token, and updates itself by what the fleet has signed.
    ignore_changes = [user_data, image, ssh_keys]
    # A new invite is for a new machine: `tofu apply -replace='module.e3.terraform_data.invite["ams3-1"]'`.
    replace_triggered_by = [terraform_data.invite[each.key].id]
  }
}

resource "digitalocean_tag" "fleet" {
  name = local.tag
}

# The fleet's machines reach each other; others only what is said here.
resource "digitalocean_firewall" "fleet" {
  name = local.tag
  tags = [digitalocean_tag.fleet.id]

  # Agents, and the sessions' ports.
  dynamic "inbound_rule" {
    for_each = ["7332", "11365-11428"]
    content {
      protocol         = "tcp"
      port_range       = inbound_rule.value
      source_tags      = [digitalocean_tag.fleet.id]
      source_addresses = var.peers
    }
  }

  dynamic "inbound_rule" {
    for_each = length(var.ssh_from) == 0 ? [] : ["22"]
    content {
      protocol         = "tcp"
      port_range       = inbound_rule.value
      source_addresses = var.ssh_from
    }
  }

  # Between the machines a mesh goes straight.
  inbound_rule {
    protocol    = "udp"
    port_range  = "1-65535"
    source_tags = [digitalocean_tag.fleet.id]
  }

  dynamic "inbound_rule" {
    for_each = var.anchor_ports
    content {
      protocol         = "udp"
      port_range       = inbound_rule.value
      source_addresses = ["0.0.0.0/0", "::/0"]
    }
  }

  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]
    content {
      protocol              = outbound_rule.value
      port_range            = "1-65535"
      destination_addresses = ["0.0.0.0/0", "::/0"]
    }
  }

  outbound_rule {
    protocol              = "icmp"
    destination_addresses = ["0.0.0.0/0", "::/0"]
  }
}
