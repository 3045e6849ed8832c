# MPyC as a Python package, made of the same wheel that sessions run: for development shells. nixpkgs has none.
{
  buildPythonPackage,
  gmpy2,
  numpy,
  wheel,
}:
buildPythonPackage {
  pname = "mpyc";
  inherit (wheel) version;
  format = "wheel";
  src = wheel;

  # MPyC needs neither; numpy switches on secure arrays, gmpy2 makes field arithmetic fast.
  dependencies = [
    gmpy2
    numpy
  ];
  pythonImportsCheck = [ "mpyc.runtime" ];
  inherit (wheel) meta;
}
