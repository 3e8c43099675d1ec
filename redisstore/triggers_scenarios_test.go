package redisstore_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestTheScriptFiresAsTheScenariosSay(t *testing.T) {
	text, err := os.ReadFile("/work/shared/scenarios/triggers.json")
	require.NoError(t, err)
	var file struct {
		Scenarios []struct {
			Name    string          `json:"name"`
			Trigger json.RawMessage `json:"trigger"`
			Events  []struct {
				ID, Type, Subject string
				T                 int64
			}
			Until  int64
			Expect []struct {
				T      int64
				Events []string
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	eachLab(t, func(t *testing.T, l *lab) {
		for _, s := range file.Scenarios {
			t.Run(s.Name, func(t *testing.T) {
				draft, err := router.DecodeTrigger(s.Trigger, router.Rules{})
				require.NoError(t, err)
				l.begin(t, draft.Create())
				for _, e := range s.Events {
					ev, err := router.NewEvent(router.EventFields{ID: e.ID, Source: "/test", Type: e.Type, Subject: e.Subject})
					require.NoError(t, err)
					l.publish(t, e.T, ev)
				}
				l.clock.set(labStart + s.Until + 1)
				firings := l.route(t, 7)
				require.Len(t, firings, len(s.Expect))
				for i, want := range s.Expect {
					at, _ := firings[i].Time()
					require.Equal(t, want.T, at.UnixMilli()-labStart)
					var data struct {
						Events []struct{ Event struct{ ID string } }
					}
					require.NoError(t, json.Unmarshal(firings[i].Data(), &data))
					var ids []string
					for _, e := range data.Events {
						ids = append(ids, e.Event.ID)
					}
					require.Equal(t, want.Events, ids)
				}
			})
		}
	})
}
