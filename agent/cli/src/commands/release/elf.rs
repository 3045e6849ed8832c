//! Which processor a binary is for, and whether it stands alone: read from its ELF header, so that
//! nobody has to say it, and nobody can say it wrongly.

/// Why a file is no agent for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Something else.
    #[error("it is no 64-bit Linux program")]
    NotElf,
    /// A processor that no machine of E3 has.
    #[error("it is for a processor that E3 has no machines for (number {0} in its header)")]
    Processor(u16),
    /// It needs a loader and libraries that a machine may not have.
    #[error("it is not static, so it would not start on every machine")]
    Dynamic,
}

const HEADER: usize = 64;
/// `PT_INTERP`: the program asks for a loader.
const INTERPRETER: u32 = 3;

/// The target triple of the static program in `bytes`.
pub fn target(bytes: &[u8]) -> Result<&'static str, ElfError> {
    // 64 bits, little-endian, of the current version.
    if bytes.len() < HEADER || !bytes.starts_with(b"\x7fELF\x02\x01\x01") {
        return Err(ElfError::NotElf);
    }
    let target = match u16_at(bytes, 18) {
        Some(62) => "x86_64-unknown-linux-musl",
        Some(183) => "aarch64-unknown-linux-musl",
        other => return Err(ElfError::Processor(other.unwrap_or(0))),
    };
    let start = u64_at(bytes, 32).and_then(|start| usize::try_from(start).ok());
    let (start, size) = (start.ok_or(ElfError::NotElf)?, u16_at(bytes, 54));
    let (size, number) = (size.unwrap_or(0), u16_at(bytes, 56).unwrap_or(0));
    for entry in 0..usize::from(number) {
        let at = entry
            .checked_mul(usize::from(size))
            .and_then(|offset| start.checked_add(offset));
        let kind = at.and_then(|at| u32_at(bytes, at));
        if kind.ok_or(ElfError::NotElf)? == INTERPRETER {
            return Err(ElfError::Dynamic);
        }
    }
    Ok(target)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these segments, for this processor.
    fn elf(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&(HEADER as u64).to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56] = u8::try_from(segments.len()).unwrap();
        for kind in segments {
            let mut segment = kind.to_le_bytes().to_vec();
            segment.resize(56, 0);
            bytes.extend(segment);
        }
        bytes
    }

    #[test]
    fn processors_and_loaders_are_seen() {
        assert_eq!(target(&elf(62, &[1, 2])), Ok("x86_64-unknown-linux-musl"));
        assert_eq!(target(&elf(183, &[])), Ok("aarch64-unknown-linux-musl"));
        assert_eq!(target(&elf(243, &[])), Err(ElfError::Processor(243)));
        assert_eq!(target(&elf(62, &[1, 3])), Err(ElfError::Dynamic));
        assert_eq!(target(b"#!/bin/sh\n"), Err(ElfError::NotElf));
        let this = std::fs::read("/proc/self/exe").unwrap();
        assert_ne!(target(&this), Err(ElfError::NotElf));
    }

    #[test]
    fn a_header_that_lies_is_no_program() {
        let whole = elf(62, &[1, 1, 1]);
        for length in 0..whole.len() - 52 {
            assert_eq!(target(&whole[..length]), Err(ElfError::NotElf), "{length}");
        }
        let mut far = whole;
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(target(&far), Err(ElfError::NotElf));
    }
}
