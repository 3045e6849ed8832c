# The owner's policy, /etc/e3/policy.toml: what this party accepts (rule 7). Without a word here the policy in the
# join file counts, and without that the owner's signature alone.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.trust;
  toml = import ./toml.nix { inherit lib; };
  key = types.strMatching "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}";
  digest = types.strMatching "sha256:[0-9a-f]{64}";
  optional =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };
  flag =
    description:
    mkOption {
      type = types.bool;
      default = false;
      inherit description;
    };
  sessionNames = types.strMatching "[a-z0-9][a-z0-9-]*[*]?|[*]";

  input = types.submodule {
    options = {
      file = mkOption {
        # A string: a path would be copied to the store, where everybody can read it.
        type = types.strMatching "/.+";
        example = "/etc/e3/inputs/salary";
        description = "The file on the machine.";
      };
      sessions = optional (types.listOf sessionNames) "Which sessions get it, by name; a trailing `*` stands for any rest. All if null.";
      programs = optional (types.listOf digest) "Which programs get it, by digest. All allowed ones if null.";
    };
  };

  caps = {
    memory = optional types.ints.positive "Bytes of memory.";
    cpu = optional types.ints.positive "Percent of one core.";
    tasks = optional types.ints.positive "Processes and threads.";
    run = optional types.ints.positive "Seconds from the barrier to the end.";
  };

  given = attrs: lib.filterAttrs (_: value: value != null) attrs;
  policy = given {
    inherit (cfg)
      owner
      signers
      threshold
      programs
      mpyc
      publish
      ;
    require_consent = cfg.requireConsent;
    inputs = if cfg.inputs == { } then null else cfg.inputs;
    caps = if given cfg.caps == { } then null else cfg.caps;
  };
  stored = lib.filterAttrs (_: i: lib.hasPrefix builtins.storeDir i.file) cfg.inputs;
in
{
  options.e3.trust = {
    enable = flag "Whether this machine's policy is the one given here, instead of the join file's.";
    owner = optional key "The owner's key; the one in the join file if null.";
    signers = optional (types.listOf key) "Whose signatures under a session count; the owner's alone if null.";
    threshold = mkOption {
      type = types.ints.positive;
      default = 1;
      description = "How many different signers must have signed.";
    };
    requireConsent = flag "Whether only sessions are accepted that every party's owner has signed.";
    programs = optional (types.listOf digest) "The programs that may run, by digest; any that is signed if null.";
    mpyc = optional (types.listOf types.str) "The MPyC versions that may run; any that is pinned if null.";
    publish = flag "Whether a session may put its output into the receipt.";
    inputs = mkOption {
      type = types.attrsOf input;
      default = { };
      description = "Local inputs, and which sessions get them. What is not listed is given to nobody.";
    };
    inherit caps;
  };

  config = lib.mkIf (config.e3.agent.enable && cfg.enable) {
    assertions = [
      {
        assertion = cfg.signers == null || cfg.threshold <= lib.length (lib.unique cfg.signers);
        message = ''
          e3.trust.threshold asks for ${toString cfg.threshold} signatures, and e3.trust.signers has fewer different
          keys: no session could ever run. Lower the threshold, or add signers.
        '';
      }
      {
        assertion = cfg.signers != null || cfg.threshold == 1;
        message = ''
          e3.trust.threshold asks for ${toString cfg.threshold} signatures, but without e3.trust.signers only the
          owner's counts. List the signers.
        '';
      }
      {
        assertion = stored == { };
        message = ''
          e3.trust.inputs.${
            lib.head (lib.attrNames stored ++ [ "" ])
          }.file is in the store, which everybody on the machine can read.
          Name a file on the machine, as a string: file = "/etc/e3/inputs/salary";
        '';
      }
    ];
    environment.etc."e3/policy.toml".text = ''
      # Made by NixOS from the options in e3.trust.
      ${toml policy}'';
  };
}
