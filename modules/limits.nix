# What all sessions of this machine together may take: overrides of agent/dist/systemd/e3-party.slice. What a single
# session may ask for is the owner's policy, `e3.trust.caps`.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.e3.limits;
  amount = types.strMatching "[0-9]+%|[0-9]+[KMGT]?|infinity";
  limit =
    type: example: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example;
      description = "${description} What `e3-party.slice` says if null.";
    };
  set = lib.filterAttrs (_: value: value != null) {
    MemoryMax = cfg.memory;
    TasksMax = cfg.tasks;
    CPUQuota = cfg.cpu;
    CPUWeight = cfg.cpuWeight;
    IOWeight = cfg.ioWeight;
  };
in
{
  options.e3.limits = {
    memory = limit amount "60%" "The most memory, in bytes or as a part of the machine's.";
    tasks =
      limit amount "200"
        "The most processes and threads, or a part of what the machine can have.";
    cpu = limit (types.strMatching "[0-9]+%") "150%" "The most processor time, in percent of one core.";
    cpuWeight =
      limit (types.ints.between 1 10000) 20
        "The share of the processor beside everything else, which has 100.";
    ioWeight =
      limit (types.ints.between 1 10000) 20
        "The share of the disk beside everything else, which has 100.";
  };

  config = lib.mkIf config.e3.agent.enable {
    assertions = [
      {
        assertion = cfg.memory != "infinity" && cfg.memory != "100%";
        message = ''
          e3.limits.memory leaves nothing for the agent, which must outlive a session that takes everything. Say less
          than 100%, or null for the 80% that agent/dist has.
        '';
      }
    ];
    systemd.slices.e3-party = lib.mkIf (set != { }) { sliceConfig = set; };
  };
}
