package jose

// header is what is read of a JOSE header. jwk, jku, x5u and x5c are not: a token does not choose the key that judges it.
type header struct{ alg, typ, kid string }

// parseHeader reads alg, typ and kid and refuses members that would change what the token means.
func parseHeader(data []byte) (header, error) {
	var h header
	var err error
	members, err := parseObject(data)
	if err != nil {
		return h, err
	}
	for _, m := range members {
		switch string(m.name) {
		case "alg":
			h.alg, err = m.text()
		case "typ":
			h.typ, err = m.text()
		case "kid":
			h.kid, err = m.text()
		case "crit": // we understand no extension, so whatever is critical is too much (RFC 7515 §4.1.11)
			err = malformed("crit is not understood")
		case "b64": // RFC 7797 §7 keeps it out of JWTs
			err = malformed("b64 is not understood")
		case "zip", "enc":
			err = malformed("encryption and compression are not understood")
		}
		if err != nil {
			return header{}, err
		}
	}
	if h.alg == "" {
		return header{}, malformed("no alg")
	}
	h.typ = NormalTyp(h.typ)
	return h, nil
}
