package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the API's description
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/swaggest/swgui/v5emb"
	"sigs.k8s.io/yaml"

	"github.com/streamlatch/streamlatch/router"
)

//go:embed openapi.yaml
var openAPIText []byte

// docs is the API's description, as JSON and as pages that render it without the internet.
type docs struct {
	openAPI []byte
	page    []byte
	files   map[string]bool // what the page refers to, by path
	policy  string          // the content security policy of the page
	ui      http.Handler
}

// newDocs renders everything that does not depend on a request.
func newDocs() (*docs, error) {
	text, err := yaml.YAMLToJSON(openAPIText)
	if err != nil {
		return nil, fmt.Errorf("read the API's description: %w", err)
	}
	d := &docs{openAPI: text, ui: v5emb.New("Streamlatch", "/openapi.json", "/docs/"), files: map[string]bool{}}
	w := &pageWriter{header: http.Header{}}
	d.ui.ServeHTTP(w, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/docs"}, Header: http.Header{}})
	d.page = w.body.Bytes()
	for _, m := range regexp.MustCompile(`(?:href|src)="(/docs/[^"]+)"`).FindAllSubmatch(d.page, -1) {
		d.files[string(m[1])] = true
	}
	d.policy = "default-src 'none'; connect-src 'self'; img-src 'self' data:; script-src 'self'" + inlineHashes(d.page, "script") +
		"; style-src 'self'" + inlineHashes(d.page, "style") + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return d, nil
}

// inlineHashes lists the hashes of a page's own scripts or styles, so that these run and no others.
func inlineHashes(page []byte, element string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(m[1])
		fmt.Fprintf(&b, " 'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
	}
	return b.String()
}

// pageWriter keeps an answer.
type pageWriter struct {
	header http.Header
	body   bytes.Buffer
}

func (w *pageWriter) Header() http.Header         { return w.header }
func (w *pageWriter) WriteHeader(int)             {}
func (w *pageWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

func (s *Server) showOpenAPI(c call) error {
	writeBody(c.w, http.StatusOK, jsonType, s.docs.openAPI)
	return nil
}

// showDocs shows the page, or one of the files that it is made of.
func (s *Server) showDocs(c call) error {
	if c.param != "" && !s.docs.files[c.r.URL.Path] {
		return router.Errorf(router.NotFound, "the page has no such file")
	}
	c.w.Header().Set("Content-Security-Policy", s.docs.policy)
	c.w.Header().Set("Referrer-Policy", "no-referrer")
	if c.param == "" {
		writeBody(c.w, http.StatusOK, "text/html; charset=utf-8", s.docs.page)
		return nil
	}
	s.docs.ui.ServeHTTP(c.w, c.r)
	return nil
}
