# A machine on which somebody has put another file in MPyC's place: nobody computes, and everybody learns whose it was.
{ fleet, ... }:
{
  name = "e3-wrong-mpyc";
  nodes = fleet.machines 2 // {
    p1 = {
      imports = [ ./party.nix ];
      # None in the image, so that the agent's own copy counts.
      e3.mpyc.versions = [ ];
    };
  };
  testScript = fleet.script ''
    start()
    wheel = owner.succeed("sha256sum /etc/e3-test/mpyc-0.11-py3-none-any.whl").split()[0]
    p1.succeed(f"install -d -o e3 -g e3 -m 700 /var/lib/e3/blobs && echo bad > /var/lib/e3/blobs/{wheel}")
    p1.succeed(f"chown e3:e3 /var/lib/e3/blobs/{wheel}")
    push("sum")
    for outcome in outcomes("sum"):
        assert '"failed"' in outcome and '"party": 1' in outcome and "mpyc-file-mismatch" in outcome, outcome

    with subtest("The bad file was put aside, and the next session gets a good one"):
        p1.succeed("ls /var/lib/e3/quarantine | grep .")
        push("again")
        assert all('"done"' in outcome for outcome in outcomes("again")), outcomes("again")
  '';
}
