# Sourced by run: Keycloak, of Maven Central. It is unpacked into work/, its database lives as long as one run. It takes most of a minute to start, so it is started
# early and waited for late.

keycloak_version=26.4.7 # runs on Java 17
keycloak_seconds=180    # to fetch it, and to start it
keycloak_home=$work/maven/keycloak-$keycloak_version

fetch_keycloak() {
  missing="it needs Java 17 or newer"
  [[ $(java -version 2>&1) =~ version\ \"([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)) || return 1
  [[ ! -e $keycloak_home/unpacked ]] || return 0
  missing="no Maven here"
  command -v mvn >/dev/null || return 1
  missing="Maven can't fetch it"
  local name=keycloak-quarkus-dist
  rm -rf "$keycloak_home"
  mkdir -p "$keycloak_home"
  quietly timeout "$keycloak_seconds" mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="org.keycloak:$name:$keycloak_version:tar.gz" -DoutputDirectory="$work/maven" || return 1
  tar -xzf "$work/maven/$name-$keycloak_version.tar.gz" -C "$keycloak_home" --strip-components=1 || return 1
  rm "$work/maven/$name-$keycloak_version.tar.gz"
  touch "$keycloak_home/unpacked"
}

# start_keycloak PORT
start_keycloak() {
  rm -rf "$keycloak_home/data"
  KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=$(cat "$work/keycloak.secret") JAVA_OPTS_APPEND=-Xmx512m \
    start keycloak "$keycloak_home/bin/kc.sh" start-dev --http-host 127.0.0.1 --http-port "$1" --cache local
  keycloak_pid=$!
  export KEYCLOAK_URL=http://127.0.0.1:$1
}

await_keycloak() { ready_seconds=$keycloak_seconds answers keycloak "$keycloak_pid" "$KEYCLOAK_URL/realms/master"; }
