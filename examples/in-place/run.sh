#!/bin/sh
# Deploys this folder to this machine by hand: registers it as the host web-1, runs its agent, deploys, and asks the
# shop. Needs a running `longshore server` and its three export lines. Run it again to deploy again.
set -eu
cd "$(dirname "$0")"
: "${AWS_ENDPOINT_URL:?Set the export lines that longshore server prints when it starts.}"
if [ "$(id -u)" -ne 0 ]; then
    echo "The shop goes to /opt/shop and its agent's files to /opt/codedeploy-agent: run this as root (sudo -E ./run.sh)." >&2
    exit 2
fi
conf=/etc/codedeploy-agent/conf/codedeployagent.yml
key=shop-$(cat VERSION)-$(date +%s).zip

if ! aws deploy get-application --application-name shop >/dev/null 2>&1; then
    aws deploy create-application --application-name shop
    mkdir -p "$(dirname "$conf")"
    (umask 077 && longshore keys create --user web-1 >"$conf")
    aws deploy register-on-premises-instance --instance-name web-1 \
        --iam-user-arn "$(sed -n 's/^iam_user_arn: //p' "$conf")"
    aws deploy add-tags-to-on-premises-instances --instance-names web-1 --tags Key=role,Value=web
    aws deploy create-deployment-group --application-name shop --deployment-group-name prod \
        --service-role-arn arn:aws:iam::000000000000:role/CodeDeploy \
        --on-premises-tag-set 'onPremisesTagSetList=[[{Key=role,Value=web,Type=KEY_AND_VALUE}]]'
    aws s3 mb s3://releases
fi

# The agent finds the server by AWS_ENDPOINT_URL. A host in earnest runs it as a service.
longshore agent run &
agent=$!
trap 'kill "$agent" 2>/dev/null || true; wait "$agent" || true' EXIT

aws deploy push --application-name shop --s3-location "s3://releases/$key" --source .
deployment=$(aws deploy create-deployment --application-name shop --deployment-group-name prod \
    --s3-location "bucket=releases,key=$key,bundleType=zip" --query deploymentId --output text)
longshore watch "$deployment"
. scripts/common.sh
echo "The shop is open on http://$SHOP_ADDRESS"
