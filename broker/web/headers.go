package web

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/labstack/echo/v4"
)

const (
	headerDecisionID = "Decision-Id"
	headerDPoP       = "Dpop"       // as net/http writes the name of RFC 9449 §4.1
	headerDPoPNonce  = "DPoP-Nonce" // RFC 9449 §8
	decisionKey      = "decision"
	// hsts is for a year, this host alone: what else the domain serves is not ours to judge (RFC 6797 §6.1).
	hsts = "max-age=31536000"
)

// secure sets what every answer carries, and gives the request its decision id.
func (s *Server) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		if s.https {
			h.Set(echo.HeaderStrictTransportSecurity, hsts)
		}
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		c.Set(decisionKey, rand.Text()) // 130 random bits
		return next(c)
	}
}

func decisionID(c echo.Context) string {
	id, _ := c.Get(decisionKey).(string)
	return id
}

// peer is the address that limits and the log know the caller by.
func peer(c echo.Context) netip.Addr {
	addr, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// extractor trusts X-Forwarded-For from the given proxies and nobody else; Echo's own default trusts everybody. Without proxies
// the peer's address is never one of them, and is the answer.
func extractor(proxies []netip.Prefix) echo.IPExtractor {
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		trust = append(trust, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// offerNonce tells a client what its next proof has to carry, "" for nothing (RFC 9449 §8, §9).
func offerNonce(h http.Header, nonce string) {
	if nonce != "" {
		h.Set(headerDPoPNonce, nonce)
	}
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
