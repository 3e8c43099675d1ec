package source_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What sees secrets, signatures and tokens is in verify.go and secret.go. There nothing is compared with == but with a constant; and nowhere in the package is the
// content of a key compared, or are bytes compared by a function that stops at the first difference.
func TestSecretsAreComparedInConstantTimeOnly(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	checked := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		checked++
		require.Empty(t, unsafeComparisons(t, file, nil, file == "verify.go" || file == "secret.go"))
	}
	require.Greater(t, checked, 5)
}

func TestAComparisonThatIsNotInConstantTimeIsFound(t *testing.T) {
	for _, bad := range []string{
		`a == b`, `string(k.bytes) != a`, `bytes.Equal(x, y)`, `hex.EncodeToString(x) == a`, `strings.EqualFold(a, b)`, `slices.Equal(x, y)`, `reflect.DeepEqual(x, y)`,
		`bytes.Compare(x, y) == 0`, `strings.HasPrefix(a, b)`, `slices.Contains(l, a)`, `strings.Compare(a, b) == 0`,
	} {
		text := "package p\nfunc f() bool { return " + bad + " }"
		require.NotEmpty(t, unsafeComparisons(t, "x.go", text, true), bad)
	}
	require.NotEmpty(t, unsafeComparisons(t, "x.go", "package p\nfunc f() { switch a { case b: } }", true))
	for _, bad := range []string{`string(k.bytes) == a`, `s.Secrets[0] == a`, `bytes.Equal(x, y)`} {
		require.NotEmpty(t, unsafeComparisons(t, "x.go", "package p\nfunc f() bool { return "+bad+" }", false), bad)
	}
	for _, good := range []string{`a == ""`, `len(a) != len(b)`, `err != nil`, `hmac.Equal(x, y)`, `strings.EqualFold(a, "Basic")`} {
		require.Empty(t, unsafeComparisons(t, "x.go", "package p\nfunc f() bool { return "+good+" }", true), good)
	}
}

// unsafeComparisons lists comparisons whose time may depend on a secret. In a strict file one side of each has to be a constant, nil or a number.
func unsafeComparisons(t *testing.T, file string, text any, strict bool) (found []string) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, text, 0)
	require.NoError(t, err)
	report := func(n ast.Node) {
		found = append(found, set.Position(n.Pos()).String()+": "+types.ExprString(n.(ast.Expr)))
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op != token.EQL && n.Op != token.NEQ {
				break
			}
			if touchesSecret(n) || strict && !isFixed(n.X) && !isFixed(n.Y) {
				report(n)
			}
		case *ast.SwitchStmt:
			for _, clause := range n.Body.List {
				for _, e := range clause.(*ast.CaseClause).List {
					if strict && n.Tag != nil && !isFixed(e) {
						report(e)
					}
				}
			}
		case *ast.CallExpr:
			if stopsEarly(types.ExprString(n.Fun), strict) && !hasFixed(n.Args) {
				report(n)
			}
		}
		return true
	})
	return found
}

// stopsEarly tells that a function's time depends on where its arguments differ.
func stopsEarly(function string, strict bool) bool {
	switch function {
	case "bytes.Equal", "bytes.Compare", "reflect.DeepEqual", "slices.Equal", "strings.Compare", "strings.EqualFold", "bytes.HasPrefix", "cmp.Compare":
		return true
	case "strings.HasPrefix", "strings.HasSuffix", "slices.Contains", "slices.Index":
		return strict
	}
	return false
}

func touchesSecret(n ast.Node) (touches bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "bytes" || s.Sel.Name == "Secrets") {
			touches = true
		}
		return !touches
	})
	return touches
}

func hasFixed(args []ast.Expr) bool {
	for _, a := range args {
		if _, ok := a.(*ast.BasicLit); ok {
			return true
		}
	}
	return false
}

// isFixed tells whether an expression is a constant of the file's own, nil, or the length of something.
func isFixed(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return e.Name == "nil" || strings.HasSuffix(e.Name, "Proof") || strings.HasSuffix(e.Name, "Part") || strings.HasSuffix(e.Name, "Secret") && e.Name != "Secret"
	case *ast.CallExpr:
		name := types.ExprString(e.Fun)
		return name == "len"
	}
	return false
}
