<#
.SYNOPSIS
Installs E3 as a distribution of the Windows Subsystem for Linux, keeps it running, and removes it again.

.DESCRIPTION
Needs Windows 10 or 11 with WSL 2.4.4 or newer (`wsl --update`), and no administrator. Running it again changes nothing
that is right already.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File e3.ps1 -Image e3.wsl -Join alice.toml

.EXAMPLE
powershell -ExecutionPolicy Bypass -File e3.ps1 -Remove
#>
[CmdletBinding()]
param(
    # The archive, e3.wsl.
    [string] $Image = 'e3.wsl',
    # The join file; it can also be put into the archive with `e3 image inject`, or be saved as e3.toml in your home folder.
    [string] $Join = '',
    # What the distribution is called.
    [ValidatePattern('^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$')]
    [string] $Name = 'E3',
    # Removes the distribution with everything in it, and what keeps it running.
    [switch] $Remove
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# Otherwise wsl.exe writes UTF-16, which looks like no distribution at all.
$env:WSL_UTF8 = '1'

$settings = Join-Path $env:USERPROFILE '.wslconfig'
# Section and key, and the value that keeps an idle distribution running.
$kept = @(
    @('general', 'instanceIdleTimeout', '-1'),
    @('wsl2', 'vmIdleTimeout', '-1')
)

function Stop-With([string] $Happened, [string] $Remedy) {
    Write-Error "$Happened`n  remedy: $Remedy" -ErrorAction Continue
    exit 1
}

function Invoke-Wsl([string[]] $Arguments, [string] $Remedy) {
    & wsl.exe @Arguments
    if ($LASTEXITCODE -ne 0) {
        Stop-With "wsl $($Arguments -join ' ') failed with exit code $LASTEXITCODE." $Remedy
    }
}

function Test-Installed {
    # It says on standard error that there is none, and Windows PowerShell takes that for an error of ours.
    $ErrorActionPreference = 'Continue'
    $names = @(& wsl.exe --list --quiet 2>$null) | ForEach-Object { $_.Trim() }
    return ($names -contains $Name)
}

# The lines of a settings file with one value set; everything else stays as it is.
function Set-Value([string[]] $Lines, [string] $Section, [string] $Key, [string] $Value) {
    $out = New-Object System.Collections.Generic.List[string]
    $inside = $false
    $written = $false
    foreach ($line in $Lines) {
        if ($line -match '^\s*\[(.+?)\]') {
            if ($inside -and -not $written) {
                $out.Add("$Key=$Value")
                $written = $true
            }
            $inside = ($Matches[1].Trim() -eq $Section)
        }
        elseif ($inside -and $line -match "^\s*$([regex]::Escape($Key))\s*=") {
            if (-not $written) {
                $out.Add("$Key=$Value")
                $written = $true
            }
            continue
        }
        $out.Add($line)
    }
    if (-not $written) {
        if (-not $inside) {
            $out.Add("[$Section]")
        }
        $out.Add("$Key=$Value")
    }
    return , $out.ToArray()
}

if ($null -eq (Get-Command wsl.exe -ErrorAction SilentlyContinue)) {
    Stop-With 'Windows has no WSL.' 'Run `wsl --install --no-distribution` as an administrator, and start the computer again.'
}

if ($Remove) {
    if ($null -ne (Get-ScheduledTask -TaskName $Name -ErrorAction SilentlyContinue)) {
        Unregister-ScheduledTask -TaskName $Name -Confirm:$false
    }
    if (Test-Installed) {
        Invoke-Wsl @('--unregister', $Name) 'Close what uses it, run `wsl --shutdown`, and try again.'
    }
    Write-Output "$Name is removed. The idle timeouts in $settings stay: other distributions may need them."
    exit 0
}

if ($Join -ne '') {
    if (-not (Test-Path -LiteralPath $Join -PathType Leaf)) {
        Stop-With "There is no join file $Join." 'Ask the owner of your fleet for one.'
    }
    $target = Join-Path $env:USERPROFILE 'e3.toml'
    if ((Resolve-Path -LiteralPath $Join).Path -ne $target) {
        Copy-Item -LiteralPath $Join -Destination $target -Force
    }
}

# 1. Keeps it running: WSL stops what nobody uses. Before the import, so that it starts with it.
$lines = @()
if (Test-Path -LiteralPath $settings) {
    $lines = @(Get-Content -LiteralPath $settings)
}
$before = $lines -join "`n"
foreach ($value in $kept) {
    $lines = Set-Value $lines $value[0] $value[1] $value[2]
}
if (($lines -join "`n") -ne $before) {
    [System.IO.File]::WriteAllLines($settings, [string[]] $lines)
    Write-Output "$settings keeps an idle WSL running; it counts from the next ``wsl --shutdown`` on."
}

# 2. Imports it.
if (Test-Installed) {
    Write-Output "$Name is installed already. For a new system: run this with -Remove first; it is then a new machine."
}
else {
    if (-not (Test-Path -LiteralPath $Image -PathType Leaf)) {
        Stop-With "There is no archive $Image." 'Name it with -Image, or build it with `e3 image build wsl`.'
    }
    $folder = Join-Path $env:LOCALAPPDATA $Name
    Invoke-Wsl @('--import', $Name, $folder, (Resolve-Path -LiteralPath $Image).Path, '--version', '2') 'Update WSL with `wsl --update`, and compare the SHA-256 of the archive with the published one.'
}

# 3. Starts it with Windows, for this user, without a window.
$action = New-ScheduledTaskAction -Execute 'wsl.exe' -Argument "-d $Name --exec /bin/true"
$trigger = New-ScheduledTaskTrigger -AtLogOn -User "$env:USERDOMAIN\$env:USERNAME"
$limits = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -Hidden
Register-ScheduledTask -TaskName $Name -Action $action -Trigger $trigger -Settings $limits -Force | Out-Null

Invoke-Wsl @('-d', $Name, '--exec', '/bin/true') 'Run `wsl --shutdown`, and try again.'
Write-Output "$Name runs. How it stands: wsl -d $Name e3-agent status"
