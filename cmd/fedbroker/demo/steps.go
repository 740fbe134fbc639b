package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/cmd/fedbroker/demo/app"
)

// Clients of the demo's configuration.
const (
	gateway   = "gateway"
	ordersAPI = "orders-api"
	sampleApp = "sample-app"
)

// What the sample API takes.
const (
	ordersAudience = "orders"
	ordersScope    = "orders.read"
)

// Attributes of the log.
const (
	attrDecision = event.AttrDecisionID
	attrReason   = event.AttrReason
	attrCause    = event.AttrError
)

// step is one request to the token endpoint.
type step struct {
	title   string
	story   string // what it shows
	subject string // what the desk calls the subject token
	client  string // "": anonymous
	target  string
	scope   string
	want    oauth.Code // "": a token
}

// steps are both kinds of exchange, and three refusals.
func steps() []step {
	return []step{
		{
			title: "A CI job gets a deploy token", subject: deskCI, target: "https://deploy.internal", scope: "deploy",
			story: "The job holds no secret. Its own token, the branch and the owner's id are what counts; good once.",
		},
		{
			title: "A partner's service calls our orders API, through the gateway", subject: deskPartner, client: gateway, target: "orders", scope: "orders.read",
			story: "The partner's token was made for our gateway only. Its roles become our groups, under its name.",
		},
		{
			title: "The orders API goes one hop further, to billing", subject: deskOrders, client: ordersAPI, target: "billing", scope: "billing.read",
			story: "Our own token, exchanged again: orders.read becomes billing.read and nothing more.",
		},
		{
			title: "Refused: a CI job of another branch", subject: deskBranch, target: "https://deploy.internal", scope: "deploy",
			story: "A good token of a known issuer, but no condition of a rule holds.", want: oauth.CodeInvalidRequest,
		},
		{
			title: "Refused: the gateway asks for billing", subject: deskPartner, client: gateway, target: "billing", scope: "billing.read",
			story: "No rule takes this requester to that audience.", want: oauth.CodeInvalidTarget,
		},
		{
			title: "Refused: the orders API asks for more than its token carries", subject: deskOrders, client: ordersAPI, target: "billing", scope: "billing.write",
			story: "billing.write comes of orders.write, which the subject token lacks. Authority never grows.", want: oauth.CodeInvalidScope,
		},
	}
}

// answer is what the token endpoint says, either way.
type answer struct {
	AccessToken string     `json:"access_token"`
	Scope       string     `json:"scope"`
	ExpiresIn   int64      `json:"expires_in"`
	Error       oauth.Code `json:"error"`
	Description string     `json:"error_description"`
	DecisionID  string     `json:"decision_id"`
	status      int
}

// walk carries out one step and shows it.
func (h *house) walk(ctx context.Context, p printer, number int, s step) error {
	subject, err := h.desk.token(ctx, s.subject)
	if err != nil {
		return err
	}
	got, err := h.exchange(ctx, s, subject)
	if err != nil {
		return err
	}
	if got.Error != s.want {
		return fmt.Errorf("want %q, got %d %q: %s", s.want, got.status, got.Error, h.log.reason(got.DecisionID))
	}
	p.step(number, s)
	if s.want != "" {
		p.refusal(got, h.log.reason(got.DecisionID))
		return nil
	}
	before, err := claimsOf(subject)
	if err != nil {
		return err
	}
	after, err := claimsOf(got.AccessToken)
	if err != nil {
		return err
	}
	p.exchange(before, after)
	return nil
}

// form is the body of a token exchange (RFC 8693 §2.1).
func (s step) form(subjectToken string) url.Values {
	return url.Values{
		"grant_type":         {oauth.GrantTokenExchange},
		"subject_token_type": {oauth.TypeJWT},
		"subject_token":      {subjectToken},
		"audience":           {s.target},
		"scope":              {s.scope},
	}
}

func (h *house) exchange(ctx context.Context, s step, subjectToken string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.issuer+"/token", strings.NewReader(s.form(subjectToken).Encode()))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if s.client != "" {
		request.SetBasicAuth(s.client, h.secrets[s.client])
	}
	response, err := h.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return answer{}, err
	}
	got := answer{status: response.StatusCode}
	if err := json.Unmarshal(body, &got); err != nil {
		return answer{}, fmt.Errorf("answer %d: %w", response.StatusCode, err)
	}
	return got, nil
}

// claimsOf shows the claims of a token; it verifies nothing.
func claimsOf(token string) (map[string]any, error) {
	_, claims, err := app.Decode(token)
	return claims, err
}
