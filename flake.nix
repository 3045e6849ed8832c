# Everything of E3 that Nix makes: packages, bootable images, modules, checks, shells. See images/ for each image, and
# modules/ for what a machine is made of. `ci/nix check` evaluates all of it.
{
  description = "E3: appliances that carry out their party's part of a secure multiparty computation";

  inputs = {
    # Everything.
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # The vendor's kernel and firmware, for the Raspberry Pi 5.
    nixos-hardware = {
      url = "github:NixOS/nixos-hardware";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    # What makes NixOS start on Windows.
    nixos-wsl = {
      url = "github:nix-community/NixOS-WSL";
      inputs.nixpkgs.follows = "nixpkgs";
      # Only for those who have no flakes.
      inputs.flake-compat.follows = "";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      nixos-hardware,
      nixos-wsl,
    }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      pkgsFor = lib.genAttrs systems (
        system:
        import nixpkgs {
          inherit system;
          overlays = [ self.overlays.default ];
        }
      );
      perSystem = f: lib.genAttrs systems (system: f pkgsFor.${system});
      images = import ./images { inherit nixos-hardware nixos-wsl; };
      made = perSystem (
        pkgs:
        import ./images/packages.nix {
          inherit pkgs;
          configurations = self.nixosConfigurations;
        }
      );
      hive = import ./modules/hive.nix { inherit lib; };

      # A machine of a fleet: an image by its name, and what its owner adds. `system.build.image` is its image.
      machine =
        {
          image,
          system ? "x86_64-linux",
          modules ? [ ],
        }:
        let
          make =
            name:
            lib.nixosSystem {
              modules = [
                self.nixosModules.appliance
                images.${name}
                {
                  nixpkgs.pkgs = pkgsFor.${system};
                  system.configurationRevision = self.rev or self.dirtyRev or "unknown";
                }
              ]
              ++ modules;
            };
          generic = make "generic";
          # What images/generic.nix has a line for; nixpkgs knows more kinds, with which nobody has tried E3.
          variants = [
            "amazon"
            "iso"
            "proxmox"
            "qemu"
            "qemu-efi"
          ];
        in
        if images ? ${image} then
          make image
        else if lib.elem image variants then
          generic.extendModules { modules = [ generic.config.image.modules.${image} ]; }
        else
          throw "there is no image `${image}`; there are ${
            lib.concatStringsSep ", " (lib.attrNames images ++ variants)
          }";
    in
    {
      overlays.default = import ./modules/overlay.nix;

      nixosModules = {
        # The agent and the hub as options, for any NixOS.
        default = ./modules;
        # A machine that does nothing else.
        appliance.imports = [
          ./modules
          ./modules/appliance.nix
        ];
      }
      // lib.mapAttrs' (name: lib.nameValuePair "image-${name}") images;

      nixosConfigurations = {
        digitalocean = machine { image = "digitalocean"; };
        raspberrypi = machine {
          image = "raspberrypi";
          system = "aarch64-linux";
        };
        raspberrypi5 = machine {
          image = "raspberrypi5";
          system = "aarch64-linux";
        };
        wsl = machine { image = "wsl"; };
        wsl-aarch64 = machine {
          image = "wsl";
          system = "aarch64-linux";
        };
        generic = machine { image = "generic"; };
        generic-aarch64 = machine {
          image = "generic";
          system = "aarch64-linux";
        };
        # `nix run .#vm`: the appliance in QEMU, on this computer.
        vm = machine { image = "vm"; };
        vm-aarch64 = machine {
          image = "vm";
          system = "aarch64-linux";
        };
      };

      packages = lib.mapAttrs (_: made: made.other // made.released) made;

      apps = perSystem (
        pkgs:
        import ./images/apps.nix {
          inherit pkgs;
          configurations = self.nixosConfigurations;
        }
      );

      devShells = perSystem (pkgs: import ./modules/shells.nix { inherit pkgs; });

      checks = perSystem (
        pkgs:
        import ./ci/nixos {
          inherit pkgs;
          inherit (self) nixosModules;
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        }
      );

      formatter = perSystem (pkgs: pkgs.nixfmt-tree.override { nixfmt = pkgs.nixfmt-rs; });

      templates.default = {
        path = ./images/template;
        description = "A fleet of your own: three machines, any image, secrets outside the store";
      };

      # For machines that run already: `colmena apply`, with hosts.json beside flake.nix. Released colmena reads the
      # first, the next one the second.
      colmena = self.lib.hive {
        data = if lib.pathExists ./hosts.json then lib.importJSON ./hosts.json else { hosts = { }; };
      };
      colmenaHive = self.lib.colmenaHive self.colmena;

      lib = {
        inherit machine;
        # What an appliance is weighed against: as little as a machine with a disk and a boot loader can be.
        bare = lib.genAttrs systems (
          system:
          lib.nixosSystem {
            modules = [
              ./ci/eval/bare.nix
              { nixpkgs.pkgs = pkgsFor.${system}; }
            ];
          }
        );
        # The text of our units and settings in each image, without hashes and versions, for ci/golden.
        golden = import ./ci/eval/golden.nix { inherit lib self; };
        # What `ci/nix check` looks at: the names of all outputs, and what users write.
        outputs = import ./ci/eval/outputs.nix { inherit lib self; };
        released = lib.mapAttrs (_: made: lib.attrNames made.released) made;
        examples = import ./ci/eval/examples.nix {
          inherit lib self;
          pkgs = pkgsFor.x86_64-linux;
        };
        # { data, common ? { } }: a hive; `data` is a hosts file's contents or that of `tofu output -json`.
        hive =
          {
            data,
            common ? { },
          }:
          hive.make {
            inherit data images pkgsFor;
            nixpkgs = pkgsFor.x86_64-linux;
            common.imports = [
              self.nixosModules.appliance
              common
            ];
          };
        # What colmena's own flake makes of a raw hive, without that flake as an input.
        colmenaHive = import ./modules/colmena-hive.nix { inherit lib nixpkgs; };
      };
    };
}
