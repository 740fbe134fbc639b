# Sourced by run: software of Debian. Servers are unpacked into work/debian, so that they never become services of the machine; only libraries, and
# Chromium, are installed, where they are not here yet. Each function returns 1 and says in $missing why it can't.

glewlwyd_version=2.7.5 # the administration API is spoken as this version speaks it
debian=$work/debian
lists=

# apt-get and dpkg are quiet unless they fail.
quietly() { "$@" >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log"; return 1; }; }

apt_here() {
  missing="no apt-get here"
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
}

# refresh brings the lists of packages up to date, once; old ones may still do.
refresh() {
  [[ -n $lists ]] || quietly apt-get update || true
  lists=fresh
}

# unpack NAME PACKAGE… fetches packages and unpacks them, once.
unpack() {
  local folder=$work/deb/$1
  shift
  [[ ! -e $folder/unpacked ]] || return 0
  apt_here || return 1
  missing="apt-get can't fetch it"
  rm -rf "$folder"
  mkdir -p "$folder" "$debian"
  refresh
  (cd "$folder" && quietly apt-get -o APT::Sandbox::User=root download "$@") || return 1
  local package
  for package in "$folder"/*.deb; do dpkg-deb -x "$package" "$debian" || return 1; done
  touch "$folder/unpacked"
}

# install PACKAGE… installs them without what they only recommend.
install_packages() {
  apt_here || return 1
  missing="only root can install what it needs"
  ((EUID == 0)) || return 1
  missing="apt-get can't install what it needs"
  refresh
  quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# libraries NAME FILE… installs the libraries that NAME's packages depend on, if one of the files lacks any.
libraries() {
  local folder=$work/deb/$1 package wanted=()
  shift
  [[ $(ldd "$@") == *'not found'* ]] || return 0
  for package in "$folder"/*.deb; do
    mapfile -t -O "${#wanted[@]}" wanted < <(dpkg-deb -f "$package" Depends | tr ',' '\n' | awk '$1 ~ /^lib/ {print $1}')
  done
  install_packages "${wanted[@]}"
}

fetch_glewlwyd() {
  unpack glewlwyd glewlwyd || return 1
  libraries glewlwyd "$debian/usr/bin/glewlwyd" "$debian"/usr/lib/glewlwyd/*/*.so || return 1
  command -v sqlite3 >/dev/null || install_packages sqlite3 || return 1
  local version
  version=$("$debian/usr/bin/glewlwyd" --version) || version=none
  missing="version $glewlwyd_version is wanted, Debian's is $version"
  [[ $version == "$glewlwyd_version" ]]
}

fetch_apache() {
  unpack apache apache2-bin libapache2-mod-auth-openidc || return 1
  libraries apache "$debian/usr/sbin/apache2" "$debian/usr/lib/apache2/modules/mod_auth_openidc.so"
}

fetch_chromium() {
  command -v chromium >/dev/null || install_packages chromium fonts-dejavu-core || return 1
  CHROMIUM=$(command -v chromium)
  export CHROMIUM
}

start_glewlwyd() {
  sqlite3 "$work/glewlwyd.db" <"$debian/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
  sed -e "s|@PORT@|$1|; s|@WORK@|$work|; s|@LIB@|$debian/usr/lib/glewlwyd|" "$here/glewlwyd.conf" >"$work/glewlwyd.conf"
  export GLEWLWYD_URL=http://127.0.0.1:$1
  start glewlwyd "$debian/usr/bin/glewlwyd" --config-file="$work/glewlwyd.conf"
  answers glewlwyd $! "$GLEWLWYD_URL/config"
}

# start_apache runs it as the current user; root's children run as nobody.
start_apache() {
  local as=()
  ((EUID != 0)) || as=(-D AsRoot)
  mkdir -p "$work/apache"
  export APACHE_MODULES=$debian/usr/lib/apache2/modules
  start apache "$debian/usr/sbin/apache2" "${as[@]}" -f "$here/apache.conf" -D FOREGROUND
  answers apache $! "$APACHE_URL/"
}

# jq is what the scripts of examples/ read answers with.
fetch_jq() {
  ! command -v jq >/dev/null || return 0
  install_packages jq
}
