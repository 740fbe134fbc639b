# Sourced by run: what signs tokens as Kubernetes does, of its own code. It is a Go module of its own, whose dependencies no one but this example needs.

fetch_kubernetes() {
  missing="its Go modules can't be had here"
  (cd "$root/examples/kubernetes/tokens" && go list -deps . 2>"$work/modules.log" >/dev/null) || { tail -n 3 "$work/modules.log"; return 1; }
  go vet -C "$root/examples/kubernetes/tokens" . || die "go vet of examples/kubernetes/tokens"
  go build -C "$root/examples/kubernetes/tokens" -o "$work/tokens" . || die "examples/kubernetes/tokens does not build"
}
