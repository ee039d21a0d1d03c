// The containers of the Cosmos DB account: records, ledger and the leases of the change feed; and the app's role.
// The account is the environment's own, or one that was restored from a backup and has no role assignments.

param accountName string
param identityName string
@allowed(['serverless', 'autoscale'])
param throughput string
param autoscaleMaxRUs int
param recordDays int

var dataContributor = '00000000-0000-0000-0000-000000000002'

@description('Days that a ledger entry is kept: a year, and some weeks to check its accounts.')
var ledgerDays = 400
var day = 86400

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: accountName
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: 'catafract'
  properties: {
    resource: { id: 'catafract' }
    options: throughput == 'autoscale' ? { autoscaleSettings: { maxThroughput: autoscaleMaxRUs } } : {}
  }

  resource generations 'containers' = {
    name: 'generations'
    properties: {
      resource: {
        id: 'generations'
        partitionKey: { paths: ['/userId'], kind: 'Hash', version: 2 }
        defaultTtl: recordDays == 0 ? null : recordDays * day
        indexingPolicy: {
          indexingMode: 'consistent'
          automatic: true
          // Only what queries filter and sort by, so that writing prompts, texts and attempts costs no index updates.
          includedPaths: [
            { path: '/userId/?' }
            { path: '/status/?' }
            { path: '/createdAt/?' }
            { path: '/leaseExpiresAt/?' }
            { path: '/blobStem/?' }
            { path: '/rootId/?' }
          ]
          excludedPaths: [{ path: '/*' }]
        }
      }
    }
  }

  resource usage 'containers' = {
    name: 'usage'
    properties: {
      resource: {
        id: 'usage'
        partitionKey: { paths: ['/userId'], kind: 'Hash', version: 2 }
        defaultTtl: ledgerDays * day
        indexingPolicy: {
          indexingMode: 'consistent'
          automatic: true
          includedPaths: [{ path: '/userId/?' }, { path: '/time/?' }, { path: '/period/?' }]
          excludedPaths: [{ path: '/*' }]
        }
      }
    }
  }

  resource leases 'containers' = {
    name: 'leases'
    properties: {
      resource: {
        id: 'leases'
        partitionKey: { paths: ['/id'], kind: 'Hash', version: 2 }
      }
    }
  }
}

// A data-plane role of Cosmos DB, for this database only.
resource readAndWrite 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: account
  name: guid(account.id, identityName, dataContributor)
  properties: {
    principalId: identity.properties.principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${dataContributor}'
    scope: '${account.id}/dbs/${database.name}'
  }
}
