package source_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

func Example() {
	inlet, err := source.Compile(router.Source{
		Name: "github", Provider: "github", Secrets: []string{"s3cret"},
		Extract: []router.Extract{{Name: "release", Path: "data.release.tag_name", Match: `^v?(.+)$`}},
	})
	if err != nil {
		panic(err)
	}

	body := []byte(`{"action":"published","release":{"tag_name":"v1.4"},"repository":{"full_name":"acme/shop"}}`)
	mac := hmac.New(sha256.New, []byte("s3cret"))
	mac.Write(body)
	message := source.Message{Method: http.MethodPost, Body: body, Header: http.Header{}}
	message.Header.Set("X-GitHub-Event", "release")
	message.Header.Set("X-GitHub-Delivery", "72d3162e")
	message.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))

	if err := inlet.Verify(message, time.Now()); err != nil {
		panic(err)
	}
	event, err := inlet.Event(message, func() string { return "an id, where the sender gives none" })
	if err != nil {
		panic(err)
	}
	release, _ := event.Extension("release")
	fmt.Println(event.Type(), event.ID(), event.Source(), event.Subject(), release.Value)

	message.Body = append(message.Body, ' ')
	fmt.Println(inlet.Verify(message, time.Now()))
	// Output:
	// github.release.published 72d3162e /in/github acme/shop 1.4
	// what should show who sent it does not fit
}
