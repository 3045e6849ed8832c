# The droplet's metadata is answered by the lab, all but the seed for random numbers: the kernel is the lab's.
{
  virtualisation.digitalOcean.seedEntropy = false;
}
