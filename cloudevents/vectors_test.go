package cloudevents_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// vectors is a folder of test data that lies beside the project, in a folder "shared".
func vectors(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		folder := filepath.Join(dir, "shared", "vectors", name)
		if _, err := os.Stat(folder); err == nil {
			return folder
		}
	}
	t.Skipf("the test data shared/vectors/%s is not beside the project", name)
	return ""
}

func glob(t testing.TB, pattern ...string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pattern...))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

// Upper-case names are refused with the invalid ones: CloudEvents 1.0, "Naming conventions", allows a to z.
func isInvalidVector(name string) bool {
	return strings.HasPrefix(name, "fail_") || strings.HasSuffix(name, "_invalid") || strings.HasSuffix(name, "_upper_case")
}

func TestTheJSONVectorsOfVersion1AreReadOrRefused(t *testing.T) {
	for _, file := range glob(t, vectors(t, "cloudevents-json"), "v1", "*.json") {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			body := read(t, file)
			if isInvalidVector(name) {
				for _, at := range refused(t, cloudevents.StructuredType, nil, string(body)) {
					require.Contains(t, []string{"body.decimal", "body.long", "body.a_invalid_name", "body.aString", "body.aBoolean", "body.aNumber"}, at)
				}
				return
			}
			e := decodeOne(t, cloudevents.StructuredType, string(body))
			require.JSONEq(t, strings.Replace(string(body), `"subject": null`, `"unset": null`, 1), withUnset(body, cloudevents.AppendStructured(nil, e)))
			batch, err := cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, cloudevents.AppendBatch(nil, []router.Event{e, e}))
			require.NoError(t, err)
			require.Equal(t, []router.Event{e, e}, batch)
		})
	}
}

// withUnset adds what the body has as null and an event has not.
func withUnset(body, event []byte) string {
	if bytes.Contains(body, []byte("null")) {
		return strings.Replace(string(event), "}", `,"unset":null}`, 1)
	}
	return string(event)
}

func TestDocumentsOfVersion03AreRefusedForTheirVersion(t *testing.T) {
	for _, file := range glob(t, vectors(t, "cloudevents-json"), "v03", "*.json") {
		at := refused(t, cloudevents.StructuredType, nil, string(read(t, file)))
		if !strings.HasPrefix(filepath.Base(file), "fail_") { // those are of version 1.0 after all
			require.Contains(t, at, "body.specversion", file)
		}
	}
	_, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, []byte(`{"specversion":"0.3","id":"1","source":"/a","type":"t"}`))
	require.ErrorContains(t, err, `body.specversion: version "0.3" of CloudEvents is not supported, only 1.0`)
}

// conformance is an event of the CloudEvents conformance files.
type conformance struct {
	Mode              string
	ContextAttributes struct {
		SpecVersion     float64 `yaml:"specversion"` // 1.0 is a number in YAML
		ID              string
		Source          string
		Type            string
		Time            string
		DataContentType string            `yaml:"datacontenttype"`
		Extensions      map[string]string `yaml:"Extensions"`
	} `yaml:"ContextAttributes"`
	Data string `yaml:"Data"`
}

func readConformance(t *testing.T, file string) []conformance {
	t.Helper()
	var list []conformance
	for decoder := yaml.NewDecoder(bytes.NewReader(read(t, file))); ; {
		var c conformance
		err := decoder.Decode(&c)
		if err == io.EOF {
			return list
		}
		require.NoError(t, err, file)
		list = append(list, c)
	}
}

// binary is the conformance event as an HTTP message in binary mode, extensions encoded as the binding says.
func (c conformance) binary() (contentType string, header http.Header, body string) {
	a := c.ContextAttributes
	header = http.Header{"Ce-Specversion": {strconv.FormatFloat(a.SpecVersion, 'f', 1, 64)}, "Ce-Id": {a.ID}, "Ce-Source": {a.Source}, "Ce-Type": {a.Type}}
	if a.Time != "" {
		header.Set("Ce-Time", a.Time)
	}
	for name, value := range a.Extensions {
		header.Set("Ce-"+name, strings.NewReplacer(" ", "%20", `"`, "%22").Replace(strings.TrimSpace(value)))
	}
	return a.DataContentType, header, c.Data
}

func TestTheHTTPVectorsArriveInBothModes(t *testing.T) {
	folder := vectors(t, "cloudevents-http")
	for _, file := range append(glob(t, folder, "v1*.yaml"), glob(t, folder, "v1.0", "*.yaml")...) {
		for _, c := range readConformance(t, file) {
			contentType, header, body := c.binary()
			e := decodeBinary(t, contentType, header, body)
			a := c.ContextAttributes
			require.Equal(t, []string{a.ID, a.Source, a.Type, a.Time, a.DataContentType, c.Data}, []string{e.ID(), e.Source(), e.Type(), e.TimeText(), e.DataContentType(), e.DataText()})
			for name, value := range a.Extensions {
				x, ok := e.Extension(name)
				require.True(t, ok)
				require.Equal(t, strings.TrimSpace(value), x.Value)
			}
			again := decodeOne(t, cloudevents.StructuredType, string(cloudevents.AppendStructured(nil, e)))
			require.Equal(t, strings.TrimSpace(e.DataText()), strings.TrimSpace(again.DataText()))
		}
	}
	for _, file := range append(glob(t, folder, "v03*.yaml"), glob(t, folder, "v0.3", "*.yaml")...) {
		for _, c := range readConformance(t, file) {
			contentType, header, body := c.binary()
			require.Equal(t, []string{"header.ce-specversion"}, refused(t, contentType, header, body))
		}
	}
}

func TestWhatWeWriteIsValidByTheJSONSchemaOfCloudEvents(t *testing.T) {
	schema := compileSchema(t, filepath.Join(vectors(t, "cloudevents-json"), "cloudevents.json"))
	rapid.Check(t, func(t *rapid.T) {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(cloudevents.AppendStructured(nil, anyEvent(t, everything))))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(document))
	})
}

func compileSchema(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	var document any
	require.NoError(t, json.Unmarshal(read(t, file), &document))
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.AssertContent()
	require.NoError(t, compiler.AddResource("cloudevents.json", document))
	schema, err := compiler.Compile("cloudevents.json")
	require.NoError(t, err)
	return schema
}
