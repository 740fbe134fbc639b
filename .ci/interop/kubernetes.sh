# Sourced by run: what signs tokens as Kubernetes does, of its own code. It is a Go module of its own, whose dependencies no one but this example needs.

fetch_kubernetes() {
  missing="its Go modules can't be had here"
  (cd "$root/examples/kubernetes/tokens" && go list -deps . >"$work/modules.log" 2>&1) || { tail -n 3 "$work/modules.log"; return 1; }
  go build -C "$root/examples/kubernetes/tokens" -o "$work/tokens" . || die "examples/kubernetes/tokens does not build"
}
