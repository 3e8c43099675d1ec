package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/webhook"
)

// What an endpoint does with a message before it believes it. While secrets are rotated it has two.
func ExampleVerifier_Verify() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	body := []byte(`{"test": 2432232314}`)
	header := http.Header{
		webhook.HeaderID:        {"msg_p5jXN8AQM9LWM0D4loKWxJek"},
		webhook.HeaderTimestamp: {"1614265330"},
		webhook.HeaderSignature: {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	}
	v := webhook.Verifier{Secrets: []webhook.Secret{secret}}
	received := time.Unix(1614265342, 0)
	fmt.Println(v.Verify(header, body, received))
	fmt.Println(v.Verify(header, []byte(strings.ToUpper(string(body))), received))
	fmt.Println(v.Verify(header, body, received.Add(time.Hour)))
	// Output:
	// <nil>
	// no signature fits
	// the message's time is more than 5 minutes away from this clock
}

// What a server does when a subscription is saved: addresses of its own network are refused unless the operator allows them.
func ExampleGuard_CheckURL() {
	allowed, err := webhook.ParseTargets("10.1.0.0/16")
	if err != nil {
		fmt.Println(err)
		return
	}
	guard := webhook.NewGuard(allowed...)
	for _, url := range []string{"https://billing.example/hook", "http://10.1.2.3:8080/", "http://169.254.169.254/latest/meta-data/", "http://127.1/", "https://user:secret@billing.example/"} {
		fmt.Println(guard.CheckURL(url))
	}
	// Output:
	// <nil>
	// <nil>
	// the webhook is not valid; sink.url: address 169.254.169.254: not a permitted target (allow its range with --allow-targets if it is meant)
	// the webhook is not valid; sink.url: has a host that is not a complete IPv4 address (four decimal numbers) and not a name
	// the webhook is not valid; sink.url: must not hold a user or password; use a header
}
