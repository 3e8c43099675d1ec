package router_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEveryTestThatThePackageCommentNamesExists(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "../redisstore/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			code.Write(text)
		}
	}
	named := regexp.MustCompile(`\bTest\w+`).FindAllString(string(doc), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		require.Contains(t, code.String(), "func "+name+"(t *testing.T)", "there is no %s", name)
	}
	guarantees := regexp.MustCompile(`(?m)^//  (\d+)\. (?:.|\n//     )*`).FindAllString(string(doc), -1)
	require.Len(t, guarantees, 10)
	for _, one := range guarantees {
		require.Contains(t, one, "Test", "a guarantee without a test")
	}
}
