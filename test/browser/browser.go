// Package browser drives a real Chromium in tests: one process, a tab of its
// own for each person, with a camera that shows a test picture and a
// microphone that beeps.
//
// It is for tests only and fails them; it knows nothing of the pages.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Open starts a Chromium that ends with the test.
func Open(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	Do(t, ctx)
	return ctx
}

// Tab opens an address for a person of its own: tabs share nothing.
func Tab(t *testing.T, browser context.Context, width, height int64, address string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	Do(t, ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(address))
	return ctx
}

// Do runs steps in a tab.
func Do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(tab, steps...); err != nil {
		t.Fatalf("%v; the page says %q", err, said(tab))
	}
}

// Click clicks on what a CSS selector finds. When the page replaces it at that
// moment, it is clicked again.
func Click(t *testing.T, tab context.Context, selector string) {
	t.Helper()
	Until(t, tab, "there is nothing to click on at "+selector, fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
	var err error
	for range 5 {
		if err = chromedp.Do(tab, chromedp.Click(chromedp.CSS(selector))); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v; the page says %q", selector, err, said(tab))
}

// Network takes the network of a tab away, packets of calls included, or gives
// it back.
func Network(t *testing.T, tab context.Context, there bool) {
	t.Helper()
	rule := &network.Conditions{DownloadThroughput: -1, UploadThroughput: -1}
	if !there {
		rule.Offline, rule.PacketLoss = true, 100
	}
	Do(t, tab, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{rule},
		})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: !there, DownloadThroughput: -1, UploadThroughput: -1})
		return err
	}))
}

// Eval gives the value of a JavaScript expression, awaited.
func Eval[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v; the page says %q", script, err, said(tab))
	}
	return v
}

// Until waits in the page, up to a minute, for a JavaScript condition, which
// may await. A page that is being replaced meanwhile is asked again.
func Until(t *testing.T, tab context.Context, what, condition string) {
	t.Helper()
	script := fmt.Sprintf(`(async () => { for (let i = 0; i < 100; i++) { try { if (await (async () => %s)()) return true; } catch (e) {} await new Promise(r => setTimeout(r, 50)); } return false; })()`, condition)
	for range 12 {
		ok, err := chromedp.Run(tab, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err == nil && ok {
			return
		}
		if tab.Err() != nil {
			break
		}
	}
	t.Fatalf("%s; the page says %q", what, said(tab))
}

func said(tab context.Context) string {
	text, _ := chromedp.Run(tab, chromedp.Evaluate[string](`document.title + "\n" + document.body.innerText`))
	return text
}

// Screenshot writes a picture of the tab into dir, when dir is not empty.
func Screenshot(t *testing.T, tab context.Context, dir, name string) {
	t.Helper()
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
