package httpapi_test

import (
	"bytes"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// document is openapi.yaml, parsed once.
var document = sync.OnceValues(func() (map[string]any, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, err
	}
	return v.(map[string]any), nil
})

func openDocument(t testing.TB) map[string]any {
	t.Helper()
	d, err := document()
	require.NoError(t, err)
	return d
}

// at follows names through objects, and references.
func at(t testing.TB, v any, names ...string) any {
	t.Helper()
	for _, name := range names {
		m, ok := deref(t, v).(map[string]any)
		require.True(t, ok, "%v is not an object", names)
		v = m[name]
	}
	return deref(t, v)
}

func deref(t testing.TB, v any) any {
	if m, ok := v.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok {
			return at(t, openDocument(t), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v
}

// operations lists "GET /v1/events" and so on, with each operation.
func operations(t testing.TB) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for path, item := range at(t, openDocument(t), "paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			if method != "parameters" {
				out[strings.ToUpper(method)+" "+path] = op.(map[string]any)
			}
		}
	}
	return out
}

func TestEveryRouteIsInTheDocumentAndEveryOperationHasARoute(t *testing.T) {
	var described []string
	for name := range operations(t) {
		described = append(described, name)
	}
	require.ElementsMatch(t, described, newAPI(t).server.Routes())
}

func TestOperationsNameTheScopesThatTheRoutesAskFor(t *testing.T) {
	key, hash, err := httpapi.NewKey(strings.NewReader(strings.Repeat("a", 100)))
	require.NoError(t, err)
	for _, scope := range httpapi.Scopes() {
		a := newAPI(t, func(c *httpapi.Config) {
			c.Keys = []httpapi.Key{{Name: "k", Hash: hash, Scopes: []httpapi.Scope{scope}}}
		})
		for name, op := range operations(t) {
			method, path, _ := strings.Cut(name, " ")
			if path == "/v1/events/stream" && scope == httpapi.ReadScope {
				continue // has no end
			}
			path = strings.NewReplacer("{ref}", "a", "{id}", "a", "{position}", "0:1-1", "{file}", "x.js").Replace(path)
			needed, closed := op["x-scope"].(string)
			_, opened := op["security"]
			require.NotEqual(t, closed, opened, "%s says who may call it", name)

			require.Equal(t, closed, a.do(method, path, "").status == http.StatusUnauthorized, "%s without a key", name)
			status := a.do(method, path, "", "Authorization: Bearer "+key).status
			require.Equal(t, closed && needed != string(scope), status == http.StatusForbidden, "%s with the scope %s: %d", name, scope, status)
		}
	}
}

func TestTheDocumentListsEveryProblemTypeAndEveryOutcome(t *testing.T) {
	types := at(t, openDocument(t), "components", "schemas", "ProblemType").(map[string]any)
	var rows, listed []string
	for word, status := range httpapi.ProblemStatuses() {
		listed = append(listed, "/problems/"+word)
		rows = append(rows, "| `/problems/"+word+"` | "+strconv.Itoa(status)+" |")
	}
	var enum []string
	for _, v := range types["enum"].([]any) {
		enum = append(enum, v.(string))
	}
	require.ElementsMatch(t, listed, enum)
	table := strings.Split(strings.TrimSpace(types["description"].(string)), "\n")
	require.ElementsMatch(t, rows, table[2:])

	outcomes := at(t, openDocument(t), "components", "schemas", "Attempt", "properties", "outcome", "enum").([]any)
	var words []any
	for _, o := range router.Outcomes() {
		words = append(words, string(o))
	}
	require.ElementsMatch(t, words, outcomes)
}

func TestTheDocumentListsEveryProviderAndEveryHandshake(t *testing.T) {
	for field, names := range map[string][]string{"provider": source.Providers(), "handshake": source.Handshakes()} {
		var want []any
		for _, name := range names {
			want = append(want, name)
		}
		require.ElementsMatch(t, want, at(t, openDocument(t), "components", "schemas", "Source", "properties", field, "enum"))
	}
}

func TestTheServedDocumentIsTheWrittenOne(t *testing.T) {
	res := newAPI(t).do("GET", "/openapi.json", "").want(http.StatusOK)
	require.Equal(t, "3.1.0", res.get("openapi"))
	require.Len(t, res.get("paths"), len(at(t, openDocument(t), "paths").(map[string]any)))
}

// checkAgainstDocument holds an answer against what openapi.yaml says of its operation: the status, the media type, the required headers, the schema.
func checkAgainstDocument(t testing.TB, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	path, op := operationOf(t, req)
	mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	pointer := "/components/responses/Invalid/content/" // any problem
	if op != nil && res.StatusCode != http.StatusMethodNotAllowed {
		pointer = "/paths/" + escape(path) + "/" + strings.ToLower(req.Method) + "/responses/" + strconv.Itoa(res.StatusCode)
		response, ok := at(t, op, "responses", strconv.Itoa(res.StatusCode)).(map[string]any)
		require.True(t, ok, "%s %s may not answer %d: %s", req.Method, path, res.StatusCode, body)
		pointer = checkHeaders(t, op, pointer, response, res)
		if response["content"].(map[string]any)["*/*"] != nil {
			return
		}
		require.Contains(t, response["content"], mediaType, "%s %s %d", req.Method, path, res.StatusCode)
	}
	if mediaType == "application/json" || mediaType == "application/problem+json" {
		validate(t, pointer+escape(mediaType)+"/schema", body)
	}
}

// checkHeaders checks that the answer has the headers described, and returns where its contents are described.
func checkHeaders(t testing.TB, op map[string]any, pointer string, response map[string]any, res *http.Response) string {
	t.Helper()
	headers, _ := response["headers"].(map[string]any)
	for name := range headers {
		require.NotEmpty(t, res.Header.Get(name), "header %s of %s", name, pointer)
	}
	entry := op["responses"].(map[string]any)[strconv.Itoa(res.StatusCode)].(map[string]any)
	if ref, ok := entry["$ref"].(string); ok {
		pointer = strings.TrimPrefix(ref, "#")
	}
	return pointer + "/content/"
}

func operationOf(t testing.TB, req *http.Request) (path string, op map[string]any) {
	t.Helper()
	got := strings.Split(req.URL.Path, "/")
	var best string
	for name := range operations(t) {
		method, path, _ := strings.Cut(name, " ")
		want := strings.Split(path, "/")
		fits := method == req.Method && slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") && g != "" })
		if fits && (best == "" || !strings.Contains(path, "{")) {
			best = path
		}
	}
	if best == "" {
		return "", nil
	}
	return best, operations(t)[req.Method+" "+best]
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// schemas keeps what was compiled.
var schemas sync.Map

func validate(t testing.TB, pointer string, body []byte) {
	t.Helper()
	cached, ok := schemas.Load(pointer)
	if !ok {
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.AssertFormat()
		require.NoError(t, c.AddResource("mem:///openapi.json", openDocument(t)))
		s, err := c.Compile("mem:///openapi.json#" + pointer)
		require.NoError(t, err)
		schemas.Store(pointer, s)
		cached = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err, "%s", body)
	require.NoError(t, cached.(*jsonschema.Schema).Validate(v), "%s", body)
}
