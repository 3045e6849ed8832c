//! What Tailscale's daemon is told: a network, and to leave everything else of the machine alone.

use e3_core::mesh::Backend;
use serde_json::json;

use crate::shared::Shared;

/// The configuration of this machine's daemon; see `ipn/conf.go` in Tailscale's source. There is no key in it: that goes over
/// the daemon's socket, once.
pub(super) fn render(shared: &Shared, backend: &Backend) -> String {
    let mut config = json!({
        "version": "alpha0",
        // Leaving changes what it was told here.
        "locked": false,
        "enabled": true,
        "hostname": format!("e3-{}", shared.join.name),
        // Who may give it orders besides root.
        "operatorUser": "e3",
        // The machine's names, routes and firewall are not its business, and nobody gets a shell or a web page by it.
        "acceptDNS": false,
        "acceptRoutes": false,
        "netfilterMode": "off",
        "runSSHServer": false,
        "runWebClient": false,
        "postureChecking": false,
        "autoUpdate": {"Check": false, "Apply": false},
    });
    if let Backend::Headscale(headscale) = backend {
        config["serverURL"] = json!(headscale.server);
    }
    config.to_string() + "\n"
}
