# Sourced by run: lemonldap-ng, of Debian, as an OpenID provider and a SAML identity provider. Its Perl modules are unpacked into work/debian; what they need is installed.

lemonldap_here=(lemonldap-ng liblemonldap-ng-common-perl liblemonldap-ng-handler-perl liblemonldap-ng-portal-perl)
# What it loads for OpenID Connect, for SAML and for any login form, beside what its packages say that they depend on.
lemonldap_needs=(libplack-perl liblasso-perl libxml-simple-perl libxml-libxml-perl libcrypt-openssl-rsa-perl libcrypt-openssl-bignum-perl libio-string-perl
  libmime-tools-perl libconvert-base32-perl libimage-magick-perl libgd-securityimage-perl)

lemonldap_loads() {
  PERL5LIB=$debian/usr/share/perl5 perl -e 'require Lemonldap::NG::Portal::Main; require Lemonldap::NG::Portal::Issuer::OpenIDConnect; require Lemonldap::NG::Portal::Issuer::SAML;
    require Lemonldap::NG::Portal::Captcha::SecurityImage; require Apache::Session::File; require Plack::Runner' >>"$work/lemonldap-perl.log" 2>&1
}

fetch_lemonldap() {
  missing="no Perl here"
  command -v perl >/dev/null || return 1
  unpack lemonldap "${lemonldap_here[@]}" || return 1
  if ! lemonldap_loads; then
    local package wanted=()
    for package in "$work"/deb/lemonldap/*.deb; do
      mapfile -t -O "${#wanted[@]}" wanted < <(dpkg-deb -f "$package" Depends | tr ',' '\n' | awk '$1 ~ /^lib/ && $1 !~ /lemonldap/ && $1 !~ /^libjs-/ {print $1}')
    done
    install_packages "${wanted[@]}" "${lemonldap_needs[@]}" || return 1
    missing="its Perl modules do not load: $(tail -n 1 "$work/lemonldap-perl.log")"
    lemonldap_loads
  fi
}

# start_lemonldap PORT
start_lemonldap() {
  mkdir -p "$work"/lemonldap/{conf,cache,sessions/lock,psessions/lock}
  export LEMONLDAP_URL=http://127.0.0.1:$1
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/lemonldap/saml.pem" -out "$work/lemonldap/saml.crt" -days 2 -subj /CN=lemonldap 2>>"$work/openssl.log"
  node "$here/portal.mjs" "$debian/usr/share/lemonldap-ng/portal"
  PERL5LIB=$debian/usr/share/perl5 LLNG_DEFAULTCONFFILE=$work/lemonldap/lemonldap-ng.ini \
    start lemonldap perl -MPlack::Runner -e 'my $r = Plack::Runner->new; $r->parse_options(@ARGV); $r->run' -- \
    --env deployment --host 127.0.0.1 --port "$1" "$debian/usr/share/lemonldap-ng/portal/htdocs/index.psgi"
  answers lemonldap $! "$LEMONLDAP_URL/.well-known/openid-configuration"
}
