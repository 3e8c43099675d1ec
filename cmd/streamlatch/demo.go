package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

// demoTrigger is the name of the trigger that the demonstration makes, and demoDocument the trigger: what a release waits for.
const (
	demoTrigger  = "streamlatch-demo"
	demoDocument = `{"title": "Made by streamlatch demo", "key": {"release": "data.release"},
  "when": {"all": [
    {"name": "build", "event": {"types": ["build.finished"], "pattern": {"data": {"status": ["ok"]}}}},
    {"name": "reviews", "event": {"types": ["review.approved"]}, "count": 2, "distinct": "data.reviewer"}],
   "within": "24h"},
  "emit": {"type": "release.ready"}}`
)

func (p *process) demoCommand() *cobra.Command {
	keep := false
	cmd := &cobra.Command{
		Use: "demo", Short: "Show on a running server what a trigger does", Args: cobra.NoArgs,
		Long: `Show on a running server what a trigger does: a build and two reviews for the same release fire once; a review that is repeated, and one that names
no release, do not. It makes a trigger ` + demoTrigger + ` and publishes five events under release names of their own; the trigger is deleted in the end.`,
		Example: "  streamlatch dev &\n  streamlatch demo",
	}
	conn := p.connect(cmd)
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the trigger there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		number := make([]byte, 2)
		if _, err := io.ReadFull(p.random, number); err != nil {
			return fmt.Errorf("choose a name for the release: %w", err)
		}
		d := &demonstration{process: p, api: api, release: fmt.Sprintf("1.4-%x", number)}
		err = d.run(cmd.Context())
		if unreachable, ok := errors.AsType[*client.ConnectionError](err); ok {
			return fmt.Errorf("%w; start one with '%s dev'", unreachable, p.program())
		}
		if !keep && d.made {
			_, failed := api.Delete(context.WithoutCancel(cmd.Context()), client.Trigger, demoTrigger, client.Condition{})
			err = errors.Join(err, failed)
		}
		return err
	}
	return cmd
}

// demonstration is one run of demo.
type demonstration struct {
	process *process
	api     *client.Client
	release string
	made    bool
	events  int
}

// run tells the story: each step does something and shows what came of it.
func (d *demonstration) run(ctx context.Context) error {
	if _, err := d.api.Put(ctx, client.Trigger, demoTrigger, []byte(demoDocument), client.Condition{}); err != nil {
		return fmt.Errorf("make the trigger: %w", err)
	}
	d.made = true
	d.say("A trigger waits for a build and two reviews, by different people, for the same release:\n\n%s\n", indented(demoDocument))

	d.say("1. The build of release %s has finished, and ann has approved it.\n", d.release)
	if _, err := d.publish(ctx, "build.finished", `{"release":"`+d.release+`","status":"ok"}`); err != nil {
		return err
	}
	first, err := d.publish(ctx, "review.approved", `{"release":"`+d.release+`","reviewer":"ann"}`)
	if err != nil {
		return err
	}
	if err := d.showWaiting(ctx, first); err != nil {
		return err
	}

	d.say("\n2. ann approves again. A repeat is no second reviewer, so nothing fires.\n")
	repeat, err := d.publish(ctx, "review.approved", `{"release":"`+d.release+`","reviewer":"ann"}`)
	if err != nil {
		return err
	}
	if err := d.showWaiting(ctx, repeat); err != nil {
		return err
	}
	if err := d.explain(ctx, "ann's first review", first); err != nil {
		return err
	}

	d.say("\n3. cleo approves, and forgets to say which release.\n")
	lost, err := d.publish(ctx, "review.approved", `{"reviewer":"cleo"}`)
	if err != nil {
		return err
	}
	if err := d.explain(ctx, "cleo's review", lost); err != nil {
		return err
	}

	d.say("\n4. ben approves release %s. That was the last thing missing: it fires, once, with what it joined.\n", d.release)
	last, err := d.publish(ctx, "review.approved", `{"release":"`+d.release+`","reviewer":"ben"}`)
	if err != nil {
		return err
	}
	firing, err := d.firing(ctx)
	if err != nil {
		return err
	}
	if err := d.showFiring(ctx, firing); err != nil {
		return err
	}
	return d.explain(ctx, "ben's review", last)
}

func (d *demonstration) say(format string, args ...any) {
	fmt.Fprintf(d.process.stdout, format, args...) // a closed terminal is noticed by what comes after
}

// publish publishes an event and shows it.
func (d *demonstration) publish(ctx context.Context, typ, data string) (position string, err error) {
	d.events++
	e, err := client.NewEvent(client.EventFields{
		ID: "demo-" + d.release + "-" + strconv.Itoa(d.events), Source: "/demo", Type: typ, Data: []byte(data),
	})
	if err != nil {
		return "", fmt.Errorf("make an event: %w", err)
	}
	results, err := d.api.Publish(ctx, []client.Event{e})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return "", fmt.Errorf("publish an event: %w", err)
	}
	d.say("   published  %-16s %s\n", typ, data)
	return results[0].Position, nil
}

// showWaiting shows what the trigger waits with, once it has the event at a position.
func (d *demonstration) showWaiting(ctx context.Context, position string) error {
	key, err := json.Marshal(map[string]string{"release": d.release})
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return d.until(ctx, "the trigger has recorded the event", func() (bool, error) {
		for partial, err := range d.api.Partials(ctx, demoTrigger, key) {
			if err != nil {
				return false, err
			}
			if has(partial, position) {
				d.say("   waits with %s\n   missing    %s\n", partialRow(partial)[2], strings.Join(partial.Missing, ", "))
				return true, nil
			}
		}
		return false, nil
	})
}

func has(p client.Partial, position string) bool {
	for _, held := range p.Have {
		if held.Position == position {
			return true
		}
	}
	return false
}

// firing waits for the firing of the release.
func (d *demonstration) firing(ctx context.Context) (found client.Firing, err error) {
	err = d.until(ctx, "the trigger has fired", func() (bool, error) {
		for f, err := range d.api.Firings(ctx, demoTrigger) {
			if err != nil {
				return false, err
			}
			if strings.Contains(string(f.Key), `"`+d.release+`"`) {
				found = f
				return true, nil
			}
		}
		return false, nil
	})
	return found, err
}

func (d *demonstration) showFiring(ctx context.Context, f client.Firing) error {
	record, err := d.api.Event(ctx, f.Position)
	if err != nil {
		return fmt.Errorf("read the firing: %w", err)
	}
	var e struct{ Type, Subject string }
	if err := json.Unmarshal(record.Event, &e); err != nil {
		return fmt.Errorf("read the firing: %w", err)
	}
	d.say("   fired      %-16s subject %s, at %s\n", plain(e.Type), plain(e.Subject), f.Position)
	for _, joined := range f.Events {
		d.say("              %-16s %s\n", plain(joined.Name), plain(joined.ID))
	}
	return nil
}

// explain shows why something did or did not fire.
func (d *demonstration) explain(ctx context.Context, what, position string) error {
	e, err := d.api.Explain(ctx, position, "", demoTrigger)
	if err != nil {
		return fmt.Errorf("explain an event: %w", err)
	}
	for _, t := range e.Triggers {
		if t.Outcome != "not-matched" {
			d.say("   explain    %s: %s: %s\n", what, plain(t.Outcome), plain(t.Reason))
		}
	}
	return nil
}

// patience is how long the demonstration waits for each step.
const patience = 10 * time.Second

// until looks again and again whether something has come to pass.
func (d *demonstration) until(ctx context.Context, what string, look func() (bool, error)) error {
	for deadline := d.process.now().Add(patience); ; {
		done, err := look()
		if done || err != nil {
			return err
		}
		if d.process.now().After(deadline) {
			return fmt.Errorf("after %s it is still not so that %s", patience, what)
		}
		if err := d.process.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func indented(text string) string { return "   " + strings.ReplaceAll(text, "\n", "\n   ") + "\n" }
