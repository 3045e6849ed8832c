//! Addresses of onion services (rend-spec-v3, "Encoding onion addresses").

use data_encoding::BASE32_NOPAD;
use e3_core::mesh::link::Id;
use sha3::{Digest as _, Sha3_256};

/// The version of what the address stands for.
const VERSION: u8 = 3;

/// The name of the service with this key, without `.onion`.
pub(super) fn of(service: &Id) -> String {
    let mut hasher = Sha3_256::new();
    hasher.update(b".onion checksum");
    hasher.update(service.as_bytes());
    hasher.update([VERSION]);
    let checksum = hasher.finalize();
    let [first, second, ..] = <[u8; 32]>::from(checksum);
    let bytes = [&service.as_bytes()[..], &[first, second, VERSION]].concat();
    BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_address_that_everybody_else_makes_of_the_key() {
        // From the specification (address-spec).
        for known in [
            "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd",
            "sp3k262uwy4r2k3ycr5awluarykdpag6a7y33jxop4cs2lu5uz5sseqd",
            "xa4r2iadxm55fbnqgwwi5mymqdcofiu3w6rpbtqn7b2dyn7mgwj64jyd",
        ] {
            let bytes = BASE32_NOPAD
                .decode(known.to_ascii_uppercase().as_bytes())
                .unwrap();
            let key = <&[u8; 32]>::try_from(&bytes[..32]).unwrap();
            assert_eq!(of(&Id::from_bytes(key).unwrap()), known);
        }
    }
}
