#!/bin/sh
# debian.sh TAR: a Debian bookworm, as the image debian:bookworm-slim has it: the least that has apt, set up for a container. Documentation
# and translations are left out, dpkg does not wait for the disk, apt keeps neither packages nor its own index of the lists.
set -eu
settings=$(mktemp -d)
trap 'rm -rf "$settings"' EXIT
mkdir -p "$settings/dpkg.cfg.d" "$settings/apt.conf.d"
cat >"$settings/dpkg.cfg.d/docker" <<END
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/locale/*
END
cat >"$settings/apt.conf.d/docker" <<END
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
END
# Not by --dpkgopt: mmdebstrap itself is slow at leaving files out.
# shellcheck disable=SC2016 # what $1 is, the hook knows
mmdebstrap --quiet --variant=apt --include=adduser,e2fsprogs,mount,tzdata,usr-is-merged \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --extract-hook="cp -r $settings/dpkg.cfg.d \"\$1/etc/dpkg/\"" \
    --customize-hook="cp -r $settings/apt.conf.d \"\$1/etc/apt/\"" \
    --customize-hook='find "$1/usr/share/doc" -type f ! -name copyright -delete' \
    --customize-hook='rm -rf "$1/usr/share/man" "$1/usr/share/locale" "$1"/var/cache/apt/*.bin' \
    bookworm "$1"
