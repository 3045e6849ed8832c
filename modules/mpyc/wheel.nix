# One released wheel of MPyC. `fetchurl` refuses any other file than the one with this hash.
{
  lib,
  fetchurl,
  version,
  hash,
}:
fetchurl {
  name = "mpyc-${version}-py3-none-any.whl";
  url = "https://files.pythonhosted.org/packages/py3/m/mpyc/mpyc-${version}-py3-none-any.whl";
  inherit hash;
  passthru = {
    inherit version;
    # How the agent, and a manifest, call it.
    digest = builtins.convertHash {
      inherit hash;
      toHashFormat = "base16";
      hashAlgo = "sha256";
    };
  };
  meta = {
    description = "Secure multiparty computation in Python";
    homepage = "https://github.com/lschoe/mpyc";
    license = lib.licenses.mit;
  };
}
