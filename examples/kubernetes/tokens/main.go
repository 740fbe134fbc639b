// Command tokens stands in for a cluster, as far as a broker sees one: it mounts the projected tokens of a pod manifest, as a kubelet does, and serves the discovery
// and the keys of the cluster's issuer, as an API server does. What signs, names and describes the tokens is Kubernetes' own code.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/serviceaccount"
	"sigs.k8s.io/yaml"
)

const (
	defaultExpirationSeconds = 3600 // of a serviceAccountToken that says none
	readHeaderTimeout        = 5 * time.Second
	stopTimeout              = 5 * time.Second
)

type options struct {
	issuer, listen    string
	cert, key, bearer string   // files; bearer: what an API server asks of those who read its keys
	pods              []string // pairs: a pod's manifest, and the folder to mount its tokens in
}

func main() {
	var o options
	flag.StringVar(&o.issuer, "issuer", "", "the cluster's `URL`")
	flag.StringVar(&o.listen, "listen", "", "`address` to serve discovery and keys at")
	flag.StringVar(&o.cert, "cert", "", "certificate `file`")
	flag.StringVar(&o.key, "key", "", "key `file` of the certificate")
	flag.StringVar(&o.bearer, "bearer", "", "`file` of the token that readers of the keys must show")
	flag.Parse()
	o.pods = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(o.pods)%2 != 0 {
		fmt.Fprintln(os.Stderr, "tokens: want pairs of a manifest and a folder")
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "tokens:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	generator, err := serviceaccount.JWTTokenGenerator(o.issuer, key)
	if err != nil {
		return err
	}
	for pod := range slices.Chunk(o.pods, 2) {
		if err := mount(ctx, generator, pod[0], pod[1]); err != nil {
			return fmt.Errorf("%s: %w", pod[0], err)
		}
	}
	keys, err := serviceaccount.StaticPublicKeysGetter([]any{key.Public()})
	if err != nil {
		return err
	}
	metadata, err := serviceaccount.NewOpenIDMetadataProvider(o.issuer, o.issuer+serviceaccount.JWKSPath, "", keys)
	if err != nil {
		return err
	}
	return serve(ctx, o, metadata)
}

// mount writes every serviceAccountToken of the manifest's projected volumes to its path in folder.
func mount(ctx context.Context, generator serviceaccount.TokenGenerator, manifest, folder string) error {
	text, err := os.ReadFile(manifest)
	if err != nil {
		return err
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		return err
	}
	mounted := 0
	for _, volume := range pod.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.ServiceAccountToken == nil {
				continue
			}
			token, err := issue(ctx, generator, pod, *source.ServiceAccountToken)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, source.ServiceAccountToken.Path), []byte(token), 0o600); err != nil {
				return err
			}
			mounted++
		}
	}
	if mounted == 0 {
		return errors.New("no projected serviceAccountToken")
	}
	return nil
}

// issue does what the API server does for a TokenRequest of the pod's kubelet.
func issue(ctx context.Context, generator serviceaccount.TokenGenerator, pod corev1.Pod, asked corev1.ServiceAccountTokenProjection) (string, error) {
	about := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: pod.Namespace, Name: name, UID: types.UID(rand.Text())}
	}
	expiration := int64(defaultExpirationSeconds)
	if asked.ExpirationSeconds != nil {
		expiration = *asked.ExpirationSeconds
	}
	node := core.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: types.UID(rand.Text())}}
	public, private, err := serviceaccount.Claims(core.ServiceAccount{ObjectMeta: about(pod.Spec.ServiceAccountName)}, &core.Pod{ObjectMeta: about(pod.Name)},
		nil, &node, nil, nil, expiration, 0, []string{asked.Audience}, nil)
	if err != nil {
		return "", err
	}
	return generator.GenerateToken(ctx, public, private)
}

// serve answers as an API server does: to those who show a token of their own.
func serve(ctx context.Context, o options, metadata serviceaccount.OpenIDMetadataProvider) error {
	bearer, err := os.ReadFile(o.bearer)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for path, document := range map[string]func() ([]byte, int){serviceaccount.OpenIDConfigPath: metadata.GetConfigJSON, serviceaccount.JWKSPath: metadata.GetKeysetJSON} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+strings.TrimSpace(string(bearer)) {
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			text, maxAge := document()
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", maxAge))
			_, _ = w.Write(text)
		})
	}
	server := &http.Server{Addr: o.listen, Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		stopped <- server.Shutdown(ending)
	}()
	if err := server.ListenAndServeTLS(o.cert, o.key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
