# The MPyC versions that E3 knows, each by the hash of its wheel as PyPI has it: what a manifest pins is this wheel.
{
  "0.11" = "sha256-BZ/6M5YInrt3vrQ+ovgEDyog8/x/9tPIOd87Pzwo044=";
  "0.10" = "sha256-Mhy0S39DVcGal+b3kdHWEowDFpBvw7+weoYuDASUC/g=";
  "0.9" = "sha256-sPid8dg+nqqYJ6s0zm+V93/e6dB70DjujZPyrodeMQo=";
}
