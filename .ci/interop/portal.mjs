// Configures one portal of lemonldap-ng: its demonstration accounts, fedbroker as a client, a signing key that can be replaced.
// As a program it writes what the portal starts with; its argument is the folder of the portal's templates.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { secret } from './steps.mjs'

const client = 'fedbroker'
export const person = { user: 'dwho', name: 'Doctor Who', email: 'dwho@badwolf.org' } // a demonstration account, whose password is its name

export class Portal {
  #folder
  #resource

  constructor({ url, folder, resource }) {
    Object.assign(this, { issuer: url })
    this.#folder = folder
    this.#resource = resource
  }

  // owns tells whether a page is the portal's.
  owns(page) {
    return page.url.origin === this.issuer
  }

  // signIn fills in the login form. Returns the page after it.
  signIn(browser, page) {
    return browser.walk(page, [this.issuer], { user: person.user, password: person.user })
  }

  // configure writes a configuration with a new signing key, which a running portal takes within a second or two: the key before is gone then.
  // saml is {metadata} of a service provider that people may be sent to, none by default.
  configure(saml) {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    const folder = `${this.#folder}/conf`
    const number = 1 + Math.max(0, ...readdirSync(folder).map((name) => Number(/^lmConf-(\d+)\.json$/.exec(name)?.[1] ?? 0)))
    const kid = `key-${randomBytes(6).toString('hex')}`
    const next = `${folder}/.next`
    writeFileSync(next, JSON.stringify({ cfgNum: number, cfgDate: Math.floor(Date.now() / 1000), cfgVersion: '2.16.1', ...this.#configuration(kid, privateKey, publicKey), ...(saml && this.#saml(saml)) }), { mode: 0o600 })
    renameSync(next, `${folder}/lmConf-${number}.json`)
    return kid
  }

  // kids are those that it publishes now.
  async kids() {
    const { keys } = await (await fetch(`${this.issuer}/oauth2/jwks`)).json()
    return keys.map(({ kid }) => kid)
  }

  // certificate is the one of its SAML signatures.
  get certificate() {
    return readFileSync(`${this.#folder}/saml.crt`, 'utf8')
  }

  #saml({ metadata }) {
    const attribute = (name) => `1;${name};urn:oasis:names:tc:SAML:2.0:attrname-format:basic;`
    return {
      issuerDBSAMLActivation: 1, samlEntityID: '#PORTAL#/saml/metadata', samlServiceSignatureMethod: 'RSA_SHA256', samlServiceUseCertificateInResponse: 1,
      samlServicePrivateKeySig: readFileSync(`${this.#folder}/saml.pem`, 'utf8'), samlServicePublicKeySig: this.certificate,
      samlSPMetaDataXML: { fedbroker: { samlSPMetaDataXML: metadata } },
      samlSPMetaDataOptions: { fedbroker: {
        samlSPMetaDataOptionsNameIDFormat: 'persistent', samlSPMetaDataOptionsSignSSOMessage: 1, samlSPMetaDataOptionsCheckSSOMessageSignature: 1,
        samlSPMetaDataOptionsEncryptionMode: 'none', samlSPMetaDataOptionsSignatureMethod: 'RSA_SHA256',
      } },
      samlSPMetaDataExportedAttributes: { fedbroker: { cn: attribute('name'), mail: attribute('email') } },
    }
  }

  #configuration(kid, privateKey, publicKey) {
    const files = (name) => ({ Directory: `${this.#folder}/${name}`, LockDirectory: `${this.#folder}/${name}/lock` })
    const sessions = { ...files('sessions'), generateModule: 'Lemonldap::NG::Common::Apache::Session::Generate::SHA256' }
    return {
      domain: '127.0.0.1', portal: `${this.issuer}/`, cookieName: 'lemonldap', securedCookie: 0, timeout: 3600, portalSkin: 'bootstrap',
      authentication: 'Demo', userDB: 'Same', passwordDB: 'Null', registerDB: 'Null', demoExportedVars: { cn: 'cn', mail: 'mail', uid: 'uid' },
      whatToTrace: 'uid', locationRules: {}, exportedVars: {}, exportedHeaders: {}, groups: {}, macros: {}, applicationList: {},
      globalStorage: 'Apache::Session::File', globalStorageOptions: sessions, localSessionStorage: '',
      persistentStorage: 'Apache::Session::File', persistentStorageOptions: files('psessions'),
      issuerDBOpenIDConnectActivation: 1, oidcServiceMetaDataIssuer: this.issuer, oidcServiceAllowAuthorizationCodeFlow: 1,
      oidcServicePrivateKeySig: privateKey, oidcServicePublicKeySig: publicKey, oidcServiceKeyIdSig: kid,
      oidcRPMetaDataOptions: { fedbroker: {
        oidcRPMetaDataOptionsClientID: client, oidcRPMetaDataOptionsClientSecret: secret('lemonldap.secret'), oidcRPMetaDataOptionsIDTokenSignAlg: 'RS256',
        oidcRPMetaDataOptionsRedirectUris: `${this.#resource}/callback/lemonldap`, oidcRPMetaDataOptionsRequirePKCE: 1, oidcRPMetaDataOptionsBypassConsent: 1,
      } },
      oidcRPMetaDataExportedVars: { fedbroker: { email: 'mail', name: 'cn' } },
    }
  }
}

if (process.argv[1] === import.meta.filename) {
  const { LEMONLDAP_URL: url, WORK: work, BROKER_URL: resource } = process.env
  const [templates, folder] = [`${process.argv[2]}/templates`, `${work}/lemonldap`]
  writeFileSync(`${folder}/lemonldap-ng.ini`, `[all]
logLevel = warn
checkTime = 1
[configuration]
type = File
dirName = ${folder}/conf
localStorage = Cache::FileCache
localStorageOptions = {'namespace' => 'conf', 'default_expires_in' => 600, 'directory_umask' => '077', 'cache_root' => '${folder}/cache', 'cache_depth' => 3}
[portal]
staticPrefix = /static
templateDir = ${templates}
languages = en
`)
  new Portal({ url, folder, resource }).configure()
}
