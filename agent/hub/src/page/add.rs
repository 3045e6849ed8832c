//! How a machine joins, told for whoever has one in front of him: the same steps as in images/README.md.

use maud::{Markup, html};

/// The page.
pub(super) fn view(fleet: &str) -> Markup {
    html! {
        div .prose {
            h1 { "Add a machine" }
            p .lede { "To the fleet " (fleet) ". It takes a join file, an image, and somebody who compares six words." }
            nav aria-label="Kinds of machine" {
                ul .chips {
                    @for (id, name) in [("pi", "Raspberry Pi"), ("droplet", "Droplet"), ("wsl", "Windows"), ("container", "Container"), ("other", "Anything else")] {
                        li { a .tag .blue href={ "#" (id) } { (name) } }
                    }
                }
            }
        }
        section .prose aria-labelledby="join" {
            h2 #join { "First: the join file" }
            p { "An owner of this fleet writes it, where the owner's key is. Take a name for the machine, here " em { "alice" } ":" }
            pre { "e3 fleet invite alice -o alice.toml" }
            p .note {
                "This page cannot write one: it takes the owner's signature, and the hub has no owner's key. Whoever has the file can become alice, once, "
                "until it expires: send it by a way that nobody else can read."
            }
        }
        (kind("pi", "Raspberry Pi", &html! {
            li { "Put the card into your computer's reader and see which disk it is: " pre { "e3 image flash" } }
            li { "Write the image with the join file in it. It asks once, and for the Wi-Fi password:"
                pre { "sudo e3 image flash e3-raspberrypi-aarch64.img.zst --to /dev/sdX --join alice.toml --wifi 'your network'" } }
            li { "Or use Raspberry Pi Imager with “Use custom”, put the card in again, and copy the join file as " code { "e3.toml" } " to the small drive FIRMWARE." }
            li { "Put the card into the Pi and switch it on. A screen shows its six words." }
        }))
        (kind("droplet", "DigitalOcean droplet", &html! {
            li { "Upload the image once, under Images → Custom Images: " code { "e3-digitalocean-x86_64-linux.qcow2.bz2" } "." }
            li { "Create a droplet from it. Under Advanced Options choose user data, and paste the text of the join file. Or:"
                pre { "doctl compute droplet create alice --image IMAGE_ID --region ams3 --size s-1vcpu-1gb --user-data-file alice.toml" } }
            li { "Its console shows its six words after a minute." }
        }))
        (kind("wsl", "Windows (WSL)", &html! {
            li { "In a terminal, once: " pre { "wsl --update" } }
            li { "Save the join file as " code { "e3.toml" } " in your own folder, " code { "%USERPROFILE%" } ". If Windows hides endings, see that it is not called e3.toml.txt." }
            li { "Double-click " code { "e3.wsl" } "." }
            li { "See its six words: " pre { "wsl -d E3 e3-agent status" } }
        }))
        (kind("container", "Container (podman, docker)", &html! {
            li { "Load the image: " pre { "podman load < e3-container.tar.gz" } }
            li { "Start it with a volume for its identity and the join file mounted:"
                pre { "podman run -d --name alice -p 7332:7332 -p 11365-11428:11365-11428 -v alice:/var/lib/e3:U -v ./alice.toml:/etc/e3/e3.toml:ro,U localhost/e3-agent" } }
            li { "See its six words: " pre { "podman exec alice e3-agent status" } }
        }))
        (kind("other", "Anything else", &html! {
            li { "On NixOS, import the module " code { "e3.nixosModules.default" } "; in a virtual machine take the ISO or qcow2 image." }
            li { "Put the join file at " code { "/etc/e3/e3.toml" } "." }
            li { "See its six words: " pre { "e3-agent status" } }
        }))
        section .prose aria-labelledby="accept" {
            h2 #accept { "Last: let it in" }
            p { "The machine now stands at the door. Its owner sees it, compares the six words with those on its screen, and lets it in:" }
            pre { "e3 fleet pending\ne3 fleet accept alice" }
        }
    }
}

fn kind(id: &str, title: &str, steps: &Markup) -> Markup {
    let heading = format!("{id}-title");
    html! {
        section .prose id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            ol { (steps) }
        }
    }
}
