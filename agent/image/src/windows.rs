//! The script for Windows: imports E3's archive into WSL, keeps it running, starts it with Windows, and takes all of that
//! away again. A text for PowerShell 5.1 and newer, which every Windows 10 and 11 has.

/// The script. It asks for nothing and needs no administrator.
pub const SCRIPT: &str = include_str!("windows.ps1");
