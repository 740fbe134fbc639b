// A public client by npm oidc-client-ts: authorization code with PKCE, userinfo, renewal by refresh token, sign-out at the provider.
'use strict'

const show = (id, text) => { document.getElementById(id).textContent = text }

function showUser(user) {
  const { profile, access_token: token, scope } = user ?? {}
  show('user', user ? JSON.stringify({ profile, scope, token: token.slice(-16), renewable: Boolean(user.refresh_token) }, null, 2) : '')
  show('state', user ? 'signed in' : 'signed out')
}

async function start() {
  const settings = await (await fetch('/settings.json')).json()
  const manager = new oidc.UserManager({
    ...settings, redirect_uri: `${location.origin}/`, post_logout_redirect_uri: `${location.origin}/`, scope: 'openid profile email',
    silent_redirect_uri: `${location.origin}/silent.html`, loadUserInfo: true, filterProtocolClaims: false, automaticSilentRenew: false,
  })
  const click = (id, action) => document.getElementById(id).addEventListener('click', () => {
    show('state', 'working')
    action().catch((error) => show('state', `failed: ${error.message}`))
  })
  click('sign-in', () => manager.signinRedirect())
  click('renew', async () => showUser(await manager.signinSilent()))
  click('silent', async () => showUser(await manager.signinSilent({ forceIframeAuth: true })))
  click('sign-out', () => manager.signoutRedirect())

  const answer = new URLSearchParams(location.search)
  if (answer.has('state')) {
    if (answer.has('code') || answer.has('error')) await manager.signinCallback()
    else await manager.signoutCallback()
    history.replaceState(null, '', '/')
  }
  showUser(await manager.getUser())
}

start().catch((error) => show('state', `failed: ${error.message}`))
