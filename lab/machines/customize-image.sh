#!/bin/sh
# Makes a fresh minimal Debian into the image of a lab host. Run inside the image
# as root while it still has a network; the arguments are the packages that hosts
# shall be able to install later, when they have none.
set -eu

useradd --create-home --shell /bin/bash admin
install -d -m 0755 /etc/sudoers.d
echo 'admin ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-admin
chmod 0440 /etc/sudoers.d/90-admin

# As on EC2: keys only, and never root.
cat >/etc/ssh/sshd_config.d/10-lab.conf <<'CONF'
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
HostKey /etc/ssh/ssh_host_ed25519_key
CONF
rm -f /etc/ssh/ssh_host_*

# Nobody sits at the console, there is no clock to set, no disk to check, and
# housekeeping would only add noise to measurements.
systemctl mask --quiet \
    console-getty.service getty@.service systemd-logind.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer fstrim.timer logrotate.timer man-db.timer motd-news.timer \
    systemd-tmpfiles-clean.timer systemd-networkd.service \
    systemd-networkd-wait-online.service systemd-resolved.service \
    systemd-timesyncd.service systemd-firstboot.service systemd-pcrphase.service \
    systemd-binfmt.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-hwdb-update.service sys-kernel-config.mount sys-kernel-debug.mount \
    dev-hugepages.mount dev-mqueue.mount rpc_pipefs.target
systemctl set-default --quiet multi-user.target

# Generators that make nothing here would run at every boot and daemon-reload.
mkdir -p /etc/systemd/system-generators
for generator in cryptsetup debug fstab getty gpt-auto hibernate-resume \
    integritysetup rc-local run ssh system-update tpm2 veritysetup; do
    ln -s /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done

# Of the database servers, if they are in the image, a host runs the one it is told to.
for unit in mariadb postgresql; do
    [ ! -e "/usr/lib/systemd/system/$unit.service" ] || systemctl disable --quiet "$unit"
done

# A repository in the image itself: apt-get update and apt-get install both work
# on a host without a network, and offer exactly what is in it.
apt-get install --yes --download-only --quiet=2 "$@"
mkdir -p /srv/packages
mv /var/cache/apt/archives/*.deb /srv/packages/
cd /srv/packages
for package in *.deb; do
    dpkg-deb --field "$package"
    echo "Filename: ./$package"
    echo "Size: $(stat --format=%s "$package")"
    echo "SHA256: $(sha256sum "$package" | cut -d' ' -f1)"
    echo
done >Packages
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' >/etc/apt/sources.list
rm -rf /var/lib/apt/lists/*
apt-get update --quiet=2

# Last, for the download above needs them. Each host gets its own.
: >/etc/machine-id
rm -f /etc/hostname /etc/resolv.conf
