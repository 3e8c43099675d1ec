package main

import (
	"fmt"
	"testing"
	"time"
)

func TestZZ(t *testing.T) {
	url := startAPI(t, &memory{}, withKey)
	p, out, er := testProcess(serverVariable+"="+url, apiKeyVariable+"="+transcriptKey)
	b := time.Now()
	code := p.run(t.Context(), []string{"tail", "--since", "1h", "-n", "2"})
	fmt.Println(p.now(), code, time.Since(b), out, er)
}
